//! Every forecaster on every cost series of a directory, from rolling origins.
//!
//! The directory is laid out as the public sets are (`mybinder_gcp_cost/daily_cost.csv`,
//! `radian_aws_monthly/breakdown.csv`, …); whatever series of whatever length are found in it are
//! evaluated. At every origin each model is fitted, calibrated and, where there is something to
//! choose, chosen again by what was known there. Nothing after an origin is looked at before the
//! forecast from it is judged.

use std::path::Path;

use cloudops_datasets::regular::Regular;
use serde::{Deserialize, Serialize};

use super::parallel::in_parallel;
use crate::forecast::backtest::Panel;
use crate::forecast::bilstm::{BiLstm, PRETRAINED};
use crate::forecast::champion::{CHAMPION, Choice, ENSEMBLE, calibrated, choose};
use crate::forecast::ets::Ets;
use crate::forecast::prophet::Prophet;
use crate::forecast::robust::Robust;
use crate::forecast::seasonal_naive::SeasonalNaive;
use crate::forecast::theta::Theta;
use crate::forecast::{Forecaster, History};
use crate::{Error, Result};

mod load;
mod notes;
mod reading;
mod report;
mod rolling;
mod row;

pub use load::CostSet;
pub use report::CostEvaluation;
pub use row::{CostRow, MEAN, means};

use load::load;
use rolling::{Figures, HORIZONS, MONTH_DAYS, Schedule, asked};

/// A model that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CostModel {
    /// [`crate::forecast::seasonal_naive`]
    SeasonalNaive,
    /// [`crate::forecast::ets`]
    Ets,
    /// [`crate::forecast::theta`]
    Theta,
    /// [`crate::forecast::robust`]
    Robust,
    /// [`crate::forecast::prophet`]
    Prophet,
    /// [`crate::forecast::bilstm`]
    BiLstm,
    /// [`crate::forecast::combine`]
    Ensemble,
    /// [`crate::forecast::champion`]
    Champion,
}

impl CostModel {
    /// All of them, the plainest first.
    pub const ALL: [Self; 8] = [
        Self::SeasonalNaive,
        Self::Ets,
        Self::Theta,
        Self::Robust,
        Self::Prophet,
        Self::BiLstm,
        Self::Ensemble,
        Self::Champion,
    ];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SeasonalNaive => "seasonal-naive",
            Self::Ets => "ets",
            Self::Theta => "theta",
            Self::Robust => "robust",
            Self::Prophet => "prophet",
            Self::BiLstm => "bilstm",
            Self::Ensemble => ENSEMBLE,
            Self::Champion => CHAMPION,
        }
    }

    /// The forecaster of a model that is not made of others.
    fn forecaster(self) -> Result<Option<Box<dyn Forecaster>>> {
        Ok(match self {
            Self::SeasonalNaive => Some(Box::new(SeasonalNaive)),
            Self::Ets => Some(Box::new(Ets)),
            Self::Theta => Some(Box::new(Theta)),
            Self::Robust => Some(Box::new(Robust)),
            Self::Prophet => Some(Box::new(Prophet::default())),
            Self::BiLstm => Some(Box::new(BiLstm::open(PRETRAINED)?)),
            Self::Ensemble | Self::Champion => None,
        })
    }
}

impl std::str::FromStr for CostModel {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::Configuration(format!("unknown model `{name}`: choose of {known}"))
        })
    }
}

/// What to evaluate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostOptions {
    /// Sets to evaluate, in this order; empty for all that the directory holds.
    pub sets: Vec<CostSet>,
    /// Models to report. The ensemble and the champion are made of all others, reported or not.
    pub models: Vec<CostModel>,
    /// Only the first two series of each set, and fewer origins: to see that it works.
    pub quick: bool,
    /// Seeds everything that is drawn. Default 1.
    pub seed: u64,
    /// Series evaluated at once; no effect on the figures. Default 2.
    pub threads: usize,
}

impl Default for CostOptions {
    fn default() -> Self {
        let models = CostModel::ALL.to_vec();
        Self { sets: vec![], models, quick: false, seed: 1, threads: 2 }
    }
}

/// Hears how far an evaluation has come.
pub trait CostProgress {
    /// So many series are to be evaluated.
    fn begin(&mut self, series: usize);
    /// One of them is done.
    fn done(&mut self, set: CostSet, series: &str);
}

impl CostProgress for super::Silent {
    fn begin(&mut self, _: usize) {}
    fn done(&mut self, _: CostSet, _: &str) {}
}

/// A champion chosen at an origin of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChampionRow {
    /// The data set.
    pub set: String,
    /// The series within it.
    pub series: String,
    /// Values (days, months) known when it was chosen.
    pub origin: usize,
    /// The candidate chosen.
    pub champion: String,
    /// Each candidate's relative error at earlier origins; absent where none was to be judged.
    pub errors: std::collections::BTreeMap<String, Option<f64>>,
}

/// Evaluates every model on every series found.
///
/// The figures are a function of the directory's content and the options, whatever `threads` is.
/// Sets that the directory lacks are passed by, with a warning, unless they were asked for.
///
/// # Errors
/// [`Error::Data`] when the directory holds none of the sets, or lacks one asked for, or a file
/// cannot be read as its set's; [`Error::Runtime`] when the ONNX Runtime is missing.
pub fn evaluate_cost(
    dir: &Path,
    options: &CostOptions,
    progress: &mut dyn CostProgress,
) -> Result<CostEvaluation> {
    let asked = if options.sets.is_empty() { &CostSet::ALL[..] } else { &options.sets };
    let (mut series, mut found) = (Vec::new(), Vec::new());
    for &set in asked {
        let mut of_set = load(dir, set)?;
        if of_set.is_empty() {
            let place = dir.join(set.directory());
            let missing = format!("{}: no {set} series long enough", place.display());
            if options.sets.contains(&set) {
                return Err(Error::Data(missing));
            }
            tracing::warn!("{missing}; passed by");
            continue;
        }
        if options.quick {
            of_set.truncate(2);
        }
        found.push((set, of_set.len()));
        series.extend(of_set.into_iter().map(|series| (set, series)));
    }
    if series.is_empty() {
        let known = CostSet::ALL.map(CostSet::directory).join(", ");
        return Err(Error::Data(format!("{}: holds none of {known}", dir.display())));
    }
    progress.begin(series.len());
    let judged = in_parallel(
        options.threads,
        series.len(),
        |at, _| progress.done(series[at].0, &series[at].1.name),
        |at| judge(series[at].0, &series[at].1, options),
    )?;
    let (mut rows, mut champions) = (Vec::new(), Vec::new());
    for judged in judged {
        rows.extend(judged.rows);
        champions.extend(judged.champions);
    }
    let (notes, command) = (notes::notes(&found, options), notes::command(options));
    Ok(CostEvaluation { rows, champions, notes, command })
}

/// What one series gave.
#[derive(Debug, Default)]
struct Judged {
    rows: Vec<CostRow>,
    champions: Vec<ChampionRow>,
}

/// The members that the models reported are, or are made of.
fn members(options: &CostOptions) -> Vec<CostModel> {
    let is_made = |model: &CostModel| matches!(model, CostModel::Ensemble | CostModel::Champion);
    let all = options.models.iter().any(is_made);
    let single = CostModel::ALL.into_iter().filter(|model| !is_made(model));
    single.filter(|model| all || options.models.contains(model)).collect()
}

fn judge(set: CostSet, series: &Regular, options: &CostOptions) -> Result<Judged> {
    let values = &series.values;
    let mut schedules = HORIZONS.map(|months| Schedule::of(series.cadence, values.len(), months));
    if options.quick {
        for schedule in &mut schedules {
            let latest = schedule.origins.len().saturating_sub(6);
            schedule.origins.drain(..latest);
        }
    }
    let history = History::new(series.cadence, series.first, values);
    let mut forecasters: Vec<Box<dyn Forecaster>> = Vec::new();
    for model in members(options) {
        forecasters.extend(model.forecaster()?);
    }
    let horizon = schedules.iter().map(|schedule| schedule.horizon).max().unwrap_or(0);
    let origins = asked(series.cadence, &schedules);
    let panel = Panel::new(history, &mut forecasters, &origins, horizon, options.seed)?;

    let mut judged = Judged::default();
    for &model in &options.models {
        for (schedule, months) in schedules.iter().zip(HORIZONS) {
            let mut figures = Figures::default();
            for &origin in &schedule.origins {
                let candidate = match model {
                    CostModel::Champion => choose(&panel, origin).champion,
                    other => other.name(),
                };
                let forecast = calibrated(&panel, candidate, origin).unwrap_or_default();
                let lengths = (schedule.horizon, history.period());
                figures.add(values, origin, lengths, &forecast);
            }
            let names = (set.name(), &*series.name, model.name());
            judged.rows.extend(figures.row(names, months * MONTH_DAYS));
        }
    }
    if options.models.contains(&CostModel::Champion) {
        let of_month = schedules[0].origins.iter();
        judged.champions =
            of_month.map(|origin| champion(set, series, choose(&panel, *origin))).collect();
    }
    Ok(judged)
}

fn champion(set: CostSet, series: &Regular, choice: Choice) -> ChampionRow {
    let errors = choice.errors.into_iter();
    ChampionRow {
        set: set.name().to_owned(),
        series: series.name.clone(),
        origin: choice.origin,
        champion: choice.champion.to_owned(),
        errors: errors.map(|(name, error)| (name.to_owned(), error.map(row::rounded))).collect(),
    }
}
