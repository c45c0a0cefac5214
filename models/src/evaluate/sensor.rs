//! Every detector on every entity of a directory of labelled sensor data.
//!
//! The directory is laid out as the public sets are (`smd/train/*.txt`,
//! `skab/<group>/*.csv`, `nab/data/<group>/*.csv`, `cmapss/train_FD*.txt`); any
//! machines, experiments and series found in it are evaluated. Nothing is
//! tuned on test labels: windows, sizes and passes are fixed by set in
//! `detector.rs`, thresholds by healthy rows, and every model gets the same.

use std::path::Path;

use cloudops_operators::score::Scorer;

use super::degradation::Fleet;
use super::detector::{Setup, fit};
use super::judge::{Subject, judge};
use super::load::load;
use super::metrics::{
    Episodes, VUS_THRESHOLDS, VUS_WINDOW, average_precision, false_positive_rate, hit_rate,
    rank_descending, vus_pr,
};
use super::notes::{command, notes};
use super::parallel::in_parallel;
use super::report::Evaluation;
use super::row::{Figures, Row, with_means};
use super::series::{Series, healthy};
use crate::specification::Architecture;
use crate::{Error, Result};

/// A labelled public data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SensorSet {
    /// Server Machine Dataset: 38 metrics of server machines, root causes labelled.
    Smd,
    /// Skoltech Anomaly Benchmark: a water circuit with valves, 8 sensors.
    Skab,
    /// Numenta Anomaly Benchmark: single series.
    Nab,
    /// C-MAPSS: simulated turbofan engines run to failure.
    Cmapss,
}

impl SensorSet {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Smd, Self::Skab, Self::Nab, Self::Cmapss];

    /// The name in tables; also of the set's directory.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Smd => "smd",
            Self::Skab => "skab",
            Self::Nab => "nab",
            Self::Cmapss => "cmapss",
        }
    }
}

impl std::fmt::Display for SensorSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for SensorSet {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::Configuration(format!("unknown data set `{name}`: choose of {known}"))
        })
    }
}

/// What to evaluate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Sets to evaluate, in this order; empty for all that the directory holds.
    pub sets: Vec<SensorSet>,
    /// Models to evaluate. Default: both VAEs, PCA, max-|z|.
    pub models: Vec<Architecture>,
    /// Only the first two entities of each set, and short training: to see that it works.
    pub quick: bool,
    /// Seeds every training. Default 1.
    pub seed: u64,
    /// Models trained and scored at once; no effect on the figures. Default 2.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sets: vec![],
            models: vec![
                Architecture::VaeCnn,
                Architecture::VaeTransformer,
                Architecture::Pca,
                Architecture::MaxAbsZ,
            ],
            quick: false,
            seed: 1,
            threads: 2,
        }
    }
}

/// Hears how far an evaluation has come.
pub trait Progress {
    /// So many pairs of entity and model are to be evaluated.
    fn begin(&mut self, jobs: usize);
    /// One of them is done.
    fn done(&mut self, row: &Row);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: usize) {}
    fn done(&mut self, _: &Row) {}
}

/// What detectors are evaluated on.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Case {
    /// A series with labelled events.
    Labelled(Series),
    /// Engines run to failure.
    Fleet(Fleet),
}

/// Evaluates every model on every entity found.
///
/// The figures are a function of the directory's content and the options, whatever `threads` is.
/// It takes some ten minutes on two cores for the public sets.
///
/// # Errors
/// [`Error::Data`] when the directory holds none of the sets, or lacks one asked for, or a file
/// cannot be read as its set's; [`Error::Runtime`] when the ONNX Runtime is missing; training's own.
pub fn evaluate_sensor(
    dir: &Path,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Evaluation> {
    let mut cases = Vec::new();
    let mut found = Vec::new();
    let asked = if options.sets.is_empty() { &SensorSet::ALL[..] } else { &options.sets };
    for &set in asked {
        let mut of_set = load(&dir.join(set.name()), set)?;
        if of_set.is_empty() {
            if options.sets.is_empty() {
                continue;
            }
            return Err(Error::Data(format!("{}: no {set} data", dir.join(set.name()).display())));
        }
        if options.quick {
            of_set.truncate(2);
        }
        found.push((set, of_set.len()));
        cases.extend(of_set.into_iter().map(|case| (set, case)));
    }
    if cases.is_empty() {
        let known = SensorSet::ALL.map(SensorSet::name).join(", ");
        return Err(Error::Data(format!("{}: holds none of {known}", dir.display())));
    }
    let jobs: Vec<_> = cases
        .iter()
        .flat_map(|case| options.models.iter().map(move |&model| (case, model)))
        .collect();
    progress.begin(jobs.len());
    let rows = in_parallel(
        options.threads,
        jobs.len(),
        |_, row| progress.done(row),
        |at| {
            let ((set, case), model) = jobs[at];
            evaluate(*set, case, model, options)
        },
    )?;
    Ok(Evaluation {
        rows: with_means(rows),
        notes: notes(&found, options),
        command: command(options),
    })
}

fn evaluate(set: SensorSet, case: &Case, model: Architecture, options: &Options) -> Result<Row> {
    let steps = Setup::of(set, options.quick).steps;
    let (entity, figures) = match case {
        Case::Labelled(series) => {
            let windows = healthy(&series.entity, &series.train, steps)?;
            let mut scorer = fit(model, set, &series.channels, &windows, options)?;
            (&series.entity, judge_series(series, scorer.as_mut(), steps)?)
        }
        Case::Fleet(fleet) => {
            let windows = fleet.healthy(steps)?;
            let mut scorer = fit(model, set, &fleet.channels, &windows, options)?;
            (&fleet.entity, fleet.judge(scorer.as_mut(), steps)?)
        }
    };
    Ok(Row {
        set: set.name().to_owned(),
        entity: entity.clone(),
        model: model.name().to_owned(),
        figures: figures.rounded(),
    })
}

fn judge_series(series: &Series, scorer: &mut dyn Scorer, steps: usize) -> Result<Figures> {
    let (stretch, from) = series.judged();
    // Without context the first rows end no window: they are not judged.
    let unjudged = (steps - 1).saturating_sub(from).min(series.labels.len());
    let labels = &series.labels[unjudged..];
    let causes: Vec<_> = series.causes.iter().map(|cause| cause.after(unjudged)).collect();
    let subject = Subject {
        entity: &series.entity,
        stretch: &stretch,
        from: from + unjudged,
        causes: &causes,
    };
    let judged = judge(scorer, steps, subject)?;
    let episodes = Episodes::count(labels, &judged.flagged);
    let days = series.days();
    let hits = |percent: usize| {
        let rates = causes.iter().zip(&judged.cause_errors).filter_map(|(cause, errors)| {
            let ranking = (!errors.is_empty()).then(|| rank_descending(errors))?;
            hit_rate(&ranking, &cause.channels, percent)
        });
        let rates: Vec<f64> = rates.collect();
        (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
    };
    let volume = |scores: &[f32]| vus_pr(scores, labels, VUS_WINDOW, VUS_THRESHOLDS);
    let part = |scores: &[f32]| (!scores.is_empty()).then(|| volume(scores)).flatten();
    let share = |part: usize, of: usize| (of > 0).then(|| part as f64 / of as f64);
    Ok(Figures {
        vus_pr: volume(&judged.scores),
        vus_pr_reconstruction: part(&judged.reconstruction),
        vus_pr_kl: part(&judged.kl),
        auprc: average_precision(&judged.scores, labels),
        event_f1: episodes.f1(),
        event_precision: share(episodes.episodes - episodes.false_episodes, episodes.episodes),
        event_recall: share(episodes.events_found, episodes.events),
        event_f1_static: Episodes::count(labels, &judged.by_static).f1(),
        event_f1_adaptive: Episodes::count(labels, &judged.by_adaptive).f1(),
        fpr: false_positive_rate(labels, &judged.flagged),
        fpr_static: false_positive_rate(labels, &judged.by_static),
        fpr_adaptive: false_positive_rate(labels, &judged.by_adaptive),
        false_episodes_per_day: (days > 0.0).then(|| episodes.false_episodes as f64 / days),
        hit_rate_100: hits(100),
        hit_rate_150: hits(150),
        events: Some(episodes.events as f64),
        points: Some(labels.len() as f64),
        ..Figures::default()
    })
}
