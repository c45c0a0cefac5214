//! One model version's reference, and every statistic against it.

use std::sync::Arc;

use super::adwin::Adwin;
use super::calibrate::{DELTA, Prediction, Scale, page_hinkley_limit};
use super::config::DriftConfig;
use super::page_hinkley::PageHinkley;
use super::period::{Group, PeriodPartial};
use super::statistic::{Fourier, deciles, moments, population_stability_index, wasserstein};
use crate::score::ModelId;

/// Random frequencies for the latents.
const FREQUENCIES: usize = 64;

/// One statistic's outcome in one period.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) group: Group,
    pub(super) statistic: &'static str,
    pub(super) feature: Option<String>,
    pub(super) effect: f64,
    pub(super) limit: f64,
    pub(super) fired: bool,
}

/// A version's state.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) model: Arc<ModelId>,
    /// The first periods.
    pub(super) reference: Vec<PeriodPartial>,
    /// How many periods in a row each statistic of the tests has exceeded its limit.
    pub(super) runs: Vec<u32>,
    pub(super) page_hinkley: PageHinkley,
    pub(super) adwin: Adwin,
    /// Periods since a retraining was last asked for.
    pub(super) asked: Option<u32>,
    /// Follows from the reference, once that is complete.
    tests: Option<Arc<Tests>>,
}

/// What follows from the complete reference.
#[derive(Debug)]
struct Tests {
    marginals: Vec<Marginal>,
    latent: Option<Latent>,
    scale: Scale,
    page_hinkley_limit: f64,
}

/// One variable's reference.
#[derive(Debug)]
struct Marginal {
    at: usize,
    group: Group,
    name: String,
    reference: Sample,
    psi_limit: f64,
    wasserstein_limit: f64,
}

/// The latents' reference.
#[derive(Debug)]
struct Latent {
    from: usize,
    scale: Vec<(f64, f64)>,
    fourier: Fourier,
    mean: Vec<f64>,
    limit: f64,
}

impl Version {
    pub(super) fn new(model: Arc<ModelId>, config: &DriftConfig) -> Self {
        Self {
            model,
            reference: Vec::new(),
            runs: Vec::new(),
            page_hinkley: PageHinkley::new(DELTA),
            adwin: Adwin::new(sequence_rate(config), 1),
            asked: None,
            tests: None,
        }
    }

    /// Whether the reference is complete.
    pub(super) fn is_ready(&self) -> bool {
        self.tests.is_some()
    }

    /// Adds a period to the reference; the last one completes it.
    pub(super) fn learn(&mut self, period: PeriodPartial, config: &DriftConfig) {
        self.reference.push(period);
        self.prepare(config);
        if let Some(tests) = self.tests.clone() {
            self.runs = vec![0; tests.marginals.len() * 2 + usize::from(tests.latent.is_some())];
            for period in &self.reference {
                let value = tests.scale.apply(period.mean_error());
                self.page_hinkley.update(value);
                self.adwin.update(value);
            }
        }
    }

    /// Derives the tests once the reference is complete; after a restore as well.
    pub(super) fn prepare(&mut self, config: &DriftConfig) {
        if self.reference.len() >= config.reference_periods {
            self.tests = Some(Arc::new(Tests::of(&self.reference, config)));
        }
    }

    /// Holds a period against the reference.
    pub(super) fn judge(&mut self, period: &PeriodPartial, config: &DriftConfig) -> Vec<Outcome> {
        let Some(tests) = self.tests.clone() else { return Vec::new() };
        let mut outcomes = Vec::new();
        for marginal in &tests.marginals {
            let sample = Sample::of([period], marginal.at);
            let (psi, distance) = marginal.reference.effects(&sample);
            for (statistic, effect, limit) in [
                ("psi", psi, marginal.psi_limit),
                ("wasserstein", distance, marginal.wasserstein_limit),
            ] {
                let feature = Some(marginal.name.clone());
                let fired = false;
                outcomes.push(Outcome {
                    group: marginal.group,
                    statistic,
                    feature,
                    effect,
                    limit,
                    fired,
                });
            }
        }
        if let Some(latent) = &tests.latent {
            let effect = Fourier::discrepancy(&latent.mean, &latent.embed([period]));
            let (group, limit) = (Group::Latent, latent.limit);
            outcomes.push(Outcome {
                group,
                statistic: "mmd",
                feature: None,
                effect,
                limit,
                fired: false,
            });
        }
        // A run of periods is what fires: one alone is chance, or an incident.
        for (outcome, run) in outcomes.iter_mut().zip(&mut self.runs) {
            *run = if outcome.effect > outcome.limit { run.saturating_add(1) } else { 0 };
            outcome.fired = *run >= config.patience;
        }
        let value = tests.scale.apply(period.mean_error());
        let rise = (self.page_hinkley.update(value), tests.page_hinkley_limit);
        let cut = self.adwin.update(value).map(|cut| (cut.effect, cut.limit));
        for (statistic, found) in [("page_hinkley", Some(rise)), ("adwin", cut)] {
            if let Some((effect, limit)) = found {
                let fired = effect > limit;
                outcomes.push(Outcome {
                    group: Group::Error,
                    statistic,
                    feature: None,
                    effect,
                    limit,
                    fired,
                });
            }
        }
        outcomes
    }

    /// What cannot be derived from the reference, as numbers.
    pub(super) fn numbers(&self) -> Vec<f64> {
        let mut numbers = vec![self.asked.map_or(-1.0, f64::from), self.runs.len() as f64];
        numbers.extend(self.runs.iter().map(|run| f64::from(*run)));
        numbers.extend(self.page_hinkley.numbers());
        numbers.extend(self.adwin.numbers());
        numbers
    }

    /// Takes up what [`Version::numbers`] gave; `None` when it is cut short.
    pub(super) fn with_numbers(mut self, numbers: &[f64], config: &DriftConfig) -> Option<Self> {
        let (head, rest) = numbers.split_at_checked(2)?;
        let (runs, rest) = rest.split_at_checked(head[1] as usize)?;
        let (page_hinkley, adwin) = rest.split_at_checked(4)?;
        self.asked = (head[0] >= 0.0).then_some(head[0] as u32);
        self.runs = runs.iter().map(|run| *run as u32).collect();
        self.page_hinkley = PageHinkley::with_numbers(DELTA, page_hinkley.try_into().ok()?);
        self.adwin = Adwin::with_numbers(sequence_rate(config), 1, adwin)?;
        self.prepare(config);
        Some(self)
    }
}

/// The part of the false alarms that each of the two sequence detectors may raise, a period.
fn sequence_rate(config: &DriftConfig) -> f64 {
    config.false_alarm_rate() / 4.0
}

impl Tests {
    fn of(reference: &[PeriodPartial], config: &DriftConfig) -> Self {
        let variables = &reference[0].variables;
        let watched: Vec<usize> =
            (0..variables.len()).filter(|at| variables[*at].group != Group::Latent).collect();
        let dimensions = variables.len() - watched.len();
        // Half of the false alarms are shared out among these tests (Bonferroni).
        let tests = watched.len() * 2 + usize::from(dimensions > 0);
        let tail = config.false_alarm_rate() / 2.0 / tests as f64;
        let prediction = Prediction::new(reference.len(), config.patience, tail, config.seed);
        let marginals =
            watched.into_iter().map(|at| Marginal::of(reference, at, prediction, config)).collect();
        let latent = (dimensions > 0).then(|| {
            Latent::of(reference, variables.len() - dimensions, dimensions, prediction, config)
        });
        let errors: Vec<f64> = reference.iter().map(PeriodPartial::mean_error).collect();
        Self {
            marginals,
            latent,
            scale: Scale::of(&errors),
            page_hinkley_limit: page_hinkley_limit(
                reference.len(),
                sequence_rate(config),
                config.seed,
            ),
        }
    }
}

/// One variable's values over some periods, ascending, and what follows from them.
#[derive(Debug)]
struct Sample {
    values: Vec<f32>,
    edges: Vec<f64>,
    scale: f64,
}

impl Sample {
    fn of<'a>(periods: impl IntoIterator<Item = &'a PeriodPartial>, at: usize) -> Self {
        let values = periods.into_iter().flat_map(|period| period.sample.entries.values());
        let mut values: Vec<f32> = values.map(|values| values[at]).collect();
        values.sort_unstable_by(f32::total_cmp);
        let (mean, deviation) = moments(values.iter().map(|value| f64::from(*value)));
        // A variable that never moved is measured against a thousandth of its size.
        let scale = deviation.max(1e-3 * mean.abs()).max(1e-9);
        Self { edges: deciles(&values), values, scale }
    }

    /// The index and the distance (in this sample's standard deviations) of another sample.
    fn effects(&self, other: &Self) -> (f64, f64) {
        let psi = population_stability_index(&self.values, &other.values, &self.edges);
        (psi, wasserstein(&self.values, &other.values) / self.scale)
    }
}

/// Every reference period, and the others.
fn left_out(
    reference: &[PeriodPartial],
) -> impl Iterator<Item = (&PeriodPartial, Vec<&PeriodPartial>)> {
    reference.iter().enumerate().map(|(at, out)| {
        let rest = reference.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, period)| period);
        (out, rest.collect())
    })
}

impl Marginal {
    fn of(
        reference: &[PeriodPartial],
        at: usize,
        prediction: Prediction,
        config: &DriftConfig,
    ) -> Self {
        let draws: Vec<(f64, f64)> = left_out(reference)
            .map(|(out, rest)| Sample::of(rest, at).effects(&Sample::of([out], at)))
            .collect();
        let limit = |draws: Vec<f64>, least: f64| prediction.bound(&draws).max(least);
        let variable = &reference[0].variables[at];
        Self {
            at,
            group: variable.group,
            name: variable.name.clone(),
            reference: Sample::of(reference, at),
            psi_limit: limit(draws.iter().map(|draw| draw.0).collect(), config.psi_min),
            wasserstein_limit: limit(
                draws.iter().map(|draw| draw.1).collect(),
                config.wasserstein_min,
            ),
        }
    }
}

impl Latent {
    fn of(
        reference: &[PeriodPartial],
        from: usize,
        dimensions: usize,
        prediction: Prediction,
        config: &DriftConfig,
    ) -> Self {
        let scale = (from..from + dimensions)
            .map(|at| {
                let rows = reference.iter().flat_map(|period| period.sample.entries.values());
                let (mean, deviation) = moments(rows.map(move |values| f64::from(values[at])));
                (mean, deviation.max(1e-9))
            })
            .collect();
        let fourier = Fourier::new(dimensions, FREQUENCIES, config.seed);
        let mut latent = Self { from, scale, fourier, mean: Vec::new(), limit: 0.0 };
        let draws: Vec<f64> = left_out(reference)
            .map(|(out, rest)| Fourier::discrepancy(&latent.embed([out]), &latent.embed(rest)))
            .collect();
        latent.limit = prediction.bound(&draws).max(config.mmd_min);
        latent.mean = latent.embed(reference);
        latent
    }

    fn embed<'a>(&self, periods: impl IntoIterator<Item = &'a PeriodPartial>) -> Vec<f64> {
        let rows = periods.into_iter().flat_map(|period| period.sample.entries.values());
        let standardise = |values: &'a Vec<f32>| {
            let latents = values[self.from..].iter().zip(&self.scale);
            latents.map(|(value, (mean, deviation))| (f64::from(*value) - mean) / deviation)
        };
        self.fourier.embed(&rows.flat_map(standardise).collect::<Vec<_>>())
    }
}
