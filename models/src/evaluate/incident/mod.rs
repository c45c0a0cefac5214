//! Detectors of strange days, on simulated bills whose incidents are known.
//!
//! The bills ([`cloudops_datasets::simulate::incident`]) pass through the kernels that the dataflow
//! runs, a day an epoch, so that what is measured is what a job commits: an alert counts from the
//! epoch that said it, and a retraction only in the epoch that brought the correction. Incidents and
//! alerts are compared as events: one alert is a run of strange days, not each of them.

use std::collections::{BTreeMap, BTreeSet};

use cloudops_datasets::simulate::incident::{
    Incident, IncidentConfig, IncidentKind, Incidents, simulate,
};
use serde::{Deserialize, Serialize};

use super::files::rounded;
use crate::Result;

mod baseline;
mod ours;
mod report;

pub use report::IncidentEvaluation;

/// What to evaluate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncidentOptions {
    /// Seeds the bills. Default 1.
    pub seed: u64,
    /// Fewer accounts: to see that it works.
    pub quick: bool,
}

impl Default for IncidentOptions {
    fn default() -> Self {
        Self { seed: 1, quick: false }
    }
}

/// A strange day, as a detector says it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alert {
    account: u32,
    /// Days of the run.
    days: BTreeSet<i32>,
    /// The service ranked first on the first of them, where the detector names one.
    service: Option<u32>,
    region: Option<u32>,
    /// The epoch in which each of its days was retracted.
    retracted: BTreeMap<i32, i32>,
}

/// How a detector did on incidents of one kind, or on all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentRow {
    /// The data set.
    pub set: String,
    /// The detector.
    pub model: String,
    /// `spike`, `step`, `ramp`, `doubled`, or `all`.
    pub kind: String,
    /// Incidents.
    pub incidents: usize,
    /// Share of incidents that an alert falls into.
    pub recall: f64,
    /// Share of alerts that fall into an incident; of all kinds alone.
    pub precision: Option<f64>,
    /// Harmonic mean of the two.
    pub f1: Option<f64>,
    /// Alerts that fall into no incident, for each account and 30 days.
    pub false_alerts: Option<f64>,
    /// Of the incidents found, share whose service is ranked first.
    pub service_first: Option<f64>,
    /// Of the incidents of one region that were found, share whose region is ranked first.
    pub region_first: Option<f64>,
    /// Of the doubled bills found, share retracted in the epoch that brought their correction.
    pub retracted: Option<f64>,
}

/// Evaluates the detectors; the figures are a function of the options.
///
/// # Errors
/// When an operator refuses what it is given, which is a bug.
pub fn evaluate_incidents(options: &IncidentOptions) -> Result<IncidentEvaluation> {
    let full = IncidentConfig::default();
    let config = if options.quick { IncidentConfig { accounts: 6, ..full } } else { full };
    let bills = simulate(&config, options.seed);
    let mut detectors = vec![("cloudops".to_owned(), ours::alerts(&bills)?)];
    detectors.extend(baseline::alerts(&bills));
    let mut rows = Vec::new();
    for (model, alerts) in &detectors {
        rows.extend(judge(&config, &bills, model, alerts));
    }
    Ok(IncidentEvaluation { rows, config, options: *options })
}

fn falls_into(alert: &Alert, incident: &Incident) -> bool {
    alert.account == incident.account
        && alert.days.range(incident.first..=incident.last).next().is_some()
}

fn judge(
    config: &IncidentConfig,
    bills: &Incidents,
    model: &str,
    alerts: &[Alert],
) -> Vec<IncidentRow> {
    // Before the calm days are over, no detector has seen enough.
    let judged: Vec<&Alert> =
        alerts.iter().filter(|alert| alert.days.iter().any(|day| *day >= config.calm)).collect();
    let is_true = |alert: &Alert| bills.incidents.iter().any(|i| falls_into(alert, i));
    let right = judged.iter().filter(|alert| is_true(alert)).count();
    let share = |part: usize, of: usize| (of > 0).then(|| rounded(part as f64 / of as f64));
    let kinds = IncidentKind::ALL.into_iter().map(Some).chain([None]);
    let row = |kind: Option<IncidentKind>| {
        let incidents: Vec<&Incident> =
            bills.incidents.iter().filter(|i| kind.is_none_or(|kind| kind == i.kind)).collect();
        let found: Vec<(&Incident, &Alert)> = incidents
            .iter()
            .filter_map(|i| {
                // Of several, the one that names the service: the others are of something else.
                let of = || judged.iter().filter(|alert| falls_into(alert, i));
                let named = of().find(|alert| alert.service == Some(i.service));
                Some((*i, *named.or_else(|| of().next())?))
            })
            .collect();
        let names_any = found.iter().any(|(_, alert)| alert.service.is_some());
        let first = |found: &[(&Incident, &Alert)], is: &dyn Fn(&Incident, &Alert) -> bool| {
            let first = found.iter().filter(|(incident, alert)| is(incident, alert)).count();
            names_any.then(|| share(first, found.len())).flatten()
        };
        let of_region: Vec<_> = found.iter().filter(|(i, _)| i.region.is_some()).copied().collect();
        let corrected: Vec<_> = found.iter().filter(|(i, _)| i.corrected_on.is_some()).collect();
        let retracts = judged.iter().any(|alert| !alert.retracted.is_empty());
        let in_time = corrected.iter().filter(|(incident, alert)| {
            alert.retracted.get(&incident.first).copied() == incident.corrected_on
        });
        let recall = found.len() as f64 / incidents.len().max(1) as f64;
        let precision = right as f64 / judged.len().max(1) as f64;
        let of_all = |figure: f64| kind.is_none().then(|| rounded(figure));
        let months = f64::from(config.accounts) * f64::from(config.days - config.calm) / 30.0;
        IncidentRow {
            set: "simulated".to_owned(),
            model: model.to_owned(),
            kind: kind.map_or("all", IncidentKind::name).to_owned(),
            incidents: incidents.len(),
            recall: rounded(recall),
            precision: of_all(precision),
            f1: of_all(2.0 * precision * recall / (precision + recall).max(f64::MIN_POSITIVE)),
            false_alerts: of_all((judged.len() - right) as f64 / months),
            service_first: first(&found, &|i, alert| alert.service == Some(i.service)),
            region_first: first(&of_region, &|i, alert| alert.region == i.region),
            retracted: if retracts { share(in_time.count(), corrected.len()) } else { None },
        }
    };
    kinds.map(row).collect()
}
