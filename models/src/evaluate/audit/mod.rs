//! Audit behaviour: attack techniques in ordinary traffic, at a fixed budget of alerts.
//!
//! The traffic is simulated (no public set has months of ordinary events beside labelled attacks), the
//! attacks are recorded ones. Both pass through the readers and kernels that the dataflow runs. A second
//! set is a recorded exfiltration among other recorded events, small as it is; a third says which events
//! of four providers are read at all.

use std::path::Path;

use cloudops_datasets::labels::audit::{
    RuleCase, Technique, rule_cases, techniques, zipped_events,
};
use cloudops_datasets::open;
use cloudops_operators::event::Technique as Known;
use cloudops_operators::schema::{audit, texts};
use cloudops_operators::window::WindowSpec;
use serde::{Deserialize, Serialize};

mod detector;
mod limit;
mod passage;
mod report;
mod traffic;

pub use report::AuditEvaluation;

use detector::{Detector, detectors};
use passage::{Memory, Vector, windows};
use traffic::{SECOND, Scenes, scenes};

use super::files::rounded;
use crate::evaluate::metrics::auroc;
use crate::{Error, Result};

/// What to evaluate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditOptions {
    /// Seeds traffic, victims and training. Default 1.
    pub seed: u64,
    /// A smaller fleet and short training: to see that it works.
    pub quick: bool,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { seed: 1, quick: false }
    }
}

/// Alerts that a fleet's owner may get, per thousand windows of principals.
pub const BUDGETS: [f64; 3] = [0.5, 2.0, 10.0];

/// One figure of a detector, or of a provider's events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditRow {
    /// `stratus`, `stratus-by-limit`, `stratus-by-technique`, `stratus-by-victim`, `otrf` or `panther`.
    pub set: String,
    /// The detector; of `panther` the provider's log.
    pub model: String,
    /// The limit (`static`, `adaptive`), the technique or the kind of victim, where the row is of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Alerts allowed per thousand ordinary windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alerts_per_thousand: Option<f64>,
    /// Alerts that were raised on ordinary windows, per thousand: less where scores are equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub false_alerts_per_thousand: Option<f64>,
    /// Share of (technique, victim) pairs whose window was among the alerts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// Share of techniques found with at least half of the victims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub techniques_found: Option<f64>,
    /// Probability that a window with an attack scores above an ordinary one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auroc: Option<f64>,
    /// Place of the attacker's strangest window among all, 1 the strangest; ties at their mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<f64>,
    /// Windows, pairs or cases that the figure rests on.
    pub count: usize,
    /// Cases that are read as they stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<f64>,
    /// Cases that are read once what their authors left out of the envelope is put in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_completed: Option<f64>,
    /// Of cases that a rule must fire on, the share whose operation is a step of a known technique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub technique_known: Option<f64>,
}

/// Evaluates on a directory with `cloudtrail_stratus`, `cloudtrail_otrf`, `audit_rule_cases_panther`;
/// the figures are a function of the options and the files.
///
/// # Errors
/// When a set is missing or cannot be read, or the ONNX Runtime is missing.
pub fn evaluate_audit(data: &Path, options: &AuditOptions) -> Result<AuditEvaluation> {
    let techniques = techniques(&data.join("cloudtrail_stratus"))?;
    let scenes = scenes(options, &techniques)?;
    let mut detectors = detectors(options, &scenes)?;
    let mut rows = Vec::new();
    for detector in &mut detectors {
        rows.extend(judge(detector, &scenes, &techniques)?);
    }
    rows.sort_by_key(|row| row.of.is_some());
    let recorded = data.join("cloudtrail_otrf/ec2_proxy_s3_exfiltration.zip");
    rows.extend(exfiltration(&zipped_events(&recorded)?, &mut detectors)?);
    rows.extend(coverage(&rule_cases(&data.join("audit_rule_cases_panther"))?)?);
    let windows = scenes.part(3).count();
    Ok(AuditEvaluation {
        rows,
        windows,
        attacks: scenes.attacks.len(),
        techniques: techniques.len(),
        unheard: scenes.unheard,
        options: *options,
    })
}

fn judge(
    detector: &mut Detector,
    scenes: &Scenes,
    techniques: &[Technique],
) -> Result<Vec<AuditRow>> {
    let ordinary = detector.score(scenes.part(3))?;
    let attacks = detector.score(scenes.attacks.iter().map(|attack| &attack.vector))?;
    let mut falling = ordinary.clone();
    falling.sort_unstable_by(|a, b| b.total_cmp(a));
    let all: Vec<f32> = ordinary.iter().chain(&attacks).copied().collect();
    let labels: Vec<bool> = (0..all.len()).map(|at| at >= ordinary.len()).collect();
    let auroc = auroc(&all, &labels).map(rounded);
    let row = |set: &str| AuditRow {
        set: set.to_owned(),
        model: detector.name.to_owned(),
        ..AuditRow::default()
    };
    let mut rows = Vec::new();
    let before = detector.score(scenes.part(2))?;
    if let Some(info) = detector.info() {
        let limits = limit::judged(info, scenes, &before, &ordinary, &attacks)?;
        for (name, limit) in ["static", "adaptive"].into_iter().zip(limits) {
            let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
            let false_alerts = share(limit.false_alerts, ordinary.len());
            rows.push(AuditRow {
                of: Some(name.to_owned()),
                false_alerts_per_thousand: Some(rounded(1_000.0 * false_alerts)),
                recall: Some(rounded(share(limit.found, attacks.len()))),
                count: attacks.len(),
                ..row("stratus-by-limit")
            });
        }
    }
    for budget in BUDGETS {
        // The least limit that no more ordinary windows exceed than are allowed.
        let allowed = (budget * ordinary.len() as f64 / 1_000.0).floor() as usize;
        let limit = falling.get(allowed).copied().unwrap_or(f32::NEG_INFINITY);
        let false_alerts = ordinary.iter().filter(|score| **score > limit).count();
        let found: Vec<bool> = attacks.iter().map(|score| *score > limit).collect();
        let recall_of = |is: &dyn Fn(usize) -> bool| {
            let of: Vec<usize> = (0..found.len()).filter(|at| is(*at)).collect();
            let hit = of.iter().filter(|at| found[**at]).count();
            (rounded(hit as f64 / of.len().max(1) as f64), of.len())
        };
        let by_technique: Vec<(f64, usize)> = (0..techniques.len())
            .map(|technique| recall_of(&|at| scenes.attacks[at].technique == technique))
            .collect();
        let halves = by_technique.iter().filter(|(recall, _)| *recall >= 0.5).count();
        let (recall, count) = recall_of(&|_| true);
        rows.push(AuditRow {
            alerts_per_thousand: Some(budget),
            false_alerts_per_thousand: Some(rounded(
                1_000.0 * false_alerts as f64 / ordinary.len().max(1) as f64,
            )),
            recall: Some(recall),
            techniques_found: Some(rounded(halves as f64 / techniques.len().max(1) as f64)),
            auroc,
            count,
            ..row("stratus")
        });
        if budget != BUDGETS[1] {
            continue;
        }
        for (technique, (recall, count)) in techniques.iter().zip(by_technique) {
            rows.push(AuditRow {
                of: Some(technique.name.clone()),
                alerts_per_thousand: Some(budget),
                recall: Some(recall),
                count,
                ..row("stratus-by-technique")
            });
        }
        let mut personas: Vec<&str> = scenes.attacks.iter().map(|a| a.persona).collect();
        personas.sort_unstable();
        personas.dedup();
        for persona in personas {
            let (recall, count) = recall_of(&|at| scenes.attacks[at].persona == persona);
            rows.push(AuditRow {
                of: Some(persona.to_owned()),
                alerts_per_thousand: Some(budget),
                recall: Some(recall),
                count,
                ..row("stratus-by-victim")
            });
        }
    }
    Ok(rows)
}

/// A recorded exfiltration: where the attacker's window ranks among all that were recorded, for
/// detectors that have seen none of these principals.
fn exfiltration(events: &[serde_json::Value], detectors: &mut [Detector]) -> Result<Vec<AuditRow>> {
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    let mut memory = Memory::default();
    let mut vectors: Vec<Vector> = Vec::new();
    let ten_minutes = WindowSpec::Tumbling { duration_us: 600 * SECOND };
    for batch in windows(ten_minutes, &lines)? {
        vectors.extend(memory.pass(&batch)?);
    }
    let is_attack = |vector: &Vector| vector.entity.contains("BankingWAFRole");
    let mut rows = Vec::new();
    for detector in detectors {
        let scores = detector.score(vectors.iter())?;
        let attacker = vectors.iter().zip(&scores).filter(|(vector, _)| is_attack(vector));
        let Some(best) = attacker.map(|(_, score)| *score).reduce(f32::max) else {
            return Err(Error::Data("the recorded exfiltration lacks its attacker".to_owned()));
        };
        let others = || vectors.iter().zip(&scores).filter(|(vector, _)| !is_attack(vector));
        let above = others().filter(|(_, score)| **score > best).count();
        let equal = others().filter(|(_, score)| **score == best).count();
        rows.push(AuditRow {
            set: "otrf".to_owned(),
            model: detector.name.to_owned(),
            rank: Some(1.0 + above as f64 + equal as f64 / 2.0),
            count: vectors.len(),
            ..AuditRow::default()
        });
    }
    Ok(rows)
}

/// Which rule cases are read, by provider.
fn coverage(cases: &[RuleCase]) -> Result<Vec<AuditRow>> {
    let mut logs: Vec<&str> = cases.iter().map(|case| case.log_type.as_str()).collect();
    logs.sort_unstable();
    logs.dedup();
    let mut rows = Vec::new();
    for log in logs {
        let of: Vec<&RuleCase> = cases.iter().filter(|case| case.log_type == log).collect();
        let Some(format) = of[0].format() else { continue };
        let (mut whole, mut completed, mut firing, mut known) = (0, 0, 0, 0);
        for case in &of {
            let read = |event: &serde_json::Value| -> Result<Option<bool>> {
                let bytes = bytes::Bytes::from(event.to_string());
                let Some(batch) = open(bytes, "case.json", &format, 0, 0)?.next_batch()? else {
                    return Ok(None);
                };
                if batch.rows.num_rows() == 0 {
                    return Ok(None);
                }
                let service = texts(&batch.rows, audit::SERVICE)?.value(0).to_owned();
                let operation = texts(&batch.rows, audit::OPERATION)?.value(0).to_owned();
                Ok(Some(Known::of(&service, &operation).is_some()))
            };
            whole += usize::from(read(&case.event)?.is_some());
            let found = read(&case.completed())?;
            completed += usize::from(found.is_some());
            if case.matches_rule && found.is_some() {
                firing += 1;
                known += usize::from(found == Some(true));
            }
        }
        let share = |part: usize, of: usize| Some(rounded(part as f64 / of.max(1) as f64));
        rows.push(AuditRow {
            set: "panther".to_owned(),
            model: log.to_owned(),
            count: of.len(),
            read: share(whole, of.len()),
            read_completed: share(completed, of.len()),
            technique_known: share(known, firing),
            ..AuditRow::default()
        });
    }
    Ok(rows)
}
