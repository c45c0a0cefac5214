//! The detectors that are compared: the deep autoencoder in two forms, and what is simpler.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use cloudops_operators::feature::audit::AuditFeatures;
use cloudops_operators::schema::result::FEATURES;
use cloudops_operators::schema::{ENTITY_ID, vector_array};
use cloudops_operators::score::{ModelInfo, Scorer};

use super::AuditOptions;
use super::passage::Vector;
use super::traffic::Scenes;
use crate::Result;
use crate::learn::isolation_forest::{IsolationForest, IsolationOptions};
use crate::samples::{Entities, Samples};
use crate::scorer::{OrtScorer, ScorerOptions};
use crate::specification::{Architecture, Specification};
use crate::train::{Quiet, train};

/// The product's own: each principal by itself, strangers by the fleet.
pub(super) const OURS: &str = "autoencoder-personal";
/// The same for everybody.
pub(super) const GENERIC: &str = "autoencoder";
/// The baselines that the evaluation names beside them.
pub(super) const ISOLATION: &str = "isolation-forest";
/// Operations that a principal has never called.
pub(super) const FIRST_SEEN: &str = "first-seen";

/// Vectors to scores, higher is stranger.
pub(super) struct Detector {
    pub(super) name: &'static str,
    kind: Kind,
}

enum Kind {
    Model(Box<OrtScorer>),
    Isolation(Box<IsolationForest>),
    FirstSeen,
}

/// Learns every detector from the fleet's ordinary windows before those that are judged.
pub(super) fn detectors(options: &AuditOptions, scenes: &Scenes) -> Result<Vec<Detector>> {
    let learn: Vec<&Vector> = scenes.part(1).collect();
    let calibrate: Vec<&Vector> = scenes.part(2).collect();
    let (learn, calibrate) = (samples(&learn), samples(&calibrate));
    let model = |name: &'static str, architecture: Architecture, personal: bool| {
        let channels = AuditFeatures::new().names();
        let mut specification = Specification::new(architecture, name, 1, channels);
        specification.personal = personal;
        specification.training.seed = options.seed;
        specification.training.max_windows = 32_768;
        if options.quick {
            specification.training.epochs = 5;
        }
        let trained = train(&specification, &learn, &calibrate, &mut Quiet)?;
        let options = ScorerOptions::default();
        let scorer = OrtScorer::new(&trained.onnx, trained.info, &options)?;
        Result::Ok(Detector { name, kind: Kind::Model(Box::new(scorer)) })
    };
    let forest = IsolationOptions { seed: options.seed, ..IsolationOptions::default() };
    let forest = Box::new(IsolationForest::fit(&learn, &forest));
    Ok(vec![
        model(OURS, Architecture::Autoencoder, true)?,
        model(GENERIC, Architecture::Autoencoder, false)?,
        model("pca", Architecture::Pca, false)?,
        model("max-abs-z", Architecture::MaxAbsZ, false)?,
        Detector { name: ISOLATION, kind: Kind::Isolation(forest) },
        Detector { name: FIRST_SEEN, kind: Kind::FirstSeen },
    ])
}

fn samples(vectors: &[&Vector]) -> Samples {
    let width = vectors.first().map_or(1, |vector| vector.features.len());
    let values = vectors.iter().flat_map(|vector| vector.features.iter().copied()).collect();
    let mut names: Vec<String> = vectors.iter().map(|vector| vector.entity.clone()).collect();
    names.sort_unstable();
    names.dedup();
    let of = vectors.iter().map(|vector| {
        names.binary_search(&vector.entity).expect("every entity is among the names") as u32
    });
    let of = of.collect();
    Samples::new(1, width, values).of(Entities { names, of })
}

impl Detector {
    /// What is known of its model; none of detectors that are no models of the product.
    pub(super) fn info(&self) -> Option<&ModelInfo> {
        match &self.kind {
            Kind::Model(scorer) => Some(scorer.info()),
            Kind::Isolation(_) | Kind::FirstSeen => None,
        }
    }

    /// A score a vector.
    pub(super) fn score<'a>(
        &mut self,
        vectors: impl Iterator<Item = &'a Vector>,
    ) -> Result<Vec<f32>> {
        let vectors: Vec<&Vector> = vectors.collect();
        Ok(match &mut self.kind {
            Kind::Model(scorer) => scorer.score(&batch(&vectors)?)?.score,
            Kind::Isolation(forest) => {
                vectors.iter().map(|vector| forest.score(&vector.features)).collect()
            }
            Kind::FirstSeen => vectors.iter().map(|vector| vector.first_seen as f32).collect(),
        })
    }
}

fn batch(vectors: &[&Vector]) -> Result<RecordBatch> {
    let width = vectors.first().map_or(1, |vector| vector.features.len());
    let entities = vectors.iter().map(|vector| vector.entity.as_str());
    let entities: ArrayRef = Arc::new(StringArray::from_iter_values(entities));
    let values = vectors.iter().flat_map(|vector| vector.features.iter().copied()).collect();
    let features: ArrayRef = Arc::new(vector_array(width, values));
    Ok(RecordBatch::try_from_iter([(ENTITY_ID, entities), (FEATURES, features)])?)
}
