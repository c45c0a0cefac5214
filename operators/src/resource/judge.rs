//! Judging resources by what is known of their use at the end of a week.
//!
//! What leaves is a row a resource with all that a verdict needs: the vector that a forest reads
//! ([`FEATURE_COLUMN`]), what speaks against a termination, what the rules in use say, and the smallest size
//! that would do. The forest's verdict is a model's, and is made where models are.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use serde::Deserialize;

use super::fact::Cause;
use super::rows::{batch, floats, keys, lists};
use crate::right_size::{Capacity, Outcome, Reason, Trial};
use crate::schema::cost::{CURRENCY, money_array};
use crate::schema::vector_array;
use crate::utilisation::evidence::{Evidence, EvidenceConfig, against_termination};
use crate::utilisation::rule::{self, Verdict};
use crate::utilisation::verdict::Policy;
use crate::utilisation::{FEATURES, LOOKBACK_DAYS, Rows, features};
use crate::{Error, Result};

/// The column of [`FEATURES`]: a vector, `NaN` where one is not known.
pub const FEATURE_COLUMN: &str = "features";
/// The column of [`Evidence`] by name: a list of texts.
pub const EVIDENCE_COLUMN: &str = "evidence";

/// The column that says what of a resource's size is proposed: `down`, `up` or `kept`; null where none is
/// known, or it does not run.
pub const OUTCOME_COLUMN: &str = "outcome";

/// Days of hours that features and evidence look back to: evidence the further.
pub(super) const LOOKBACK: i32 = 35;

/// A Sunday: weeks end with it.
const SUNDAY: i32 = 3;

/// `[resources.judge]`: when resources are judged, and how.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Judging {
    /// Days from one judgement to the next; of whole weeks at the end of a Sunday. Default: 7.
    pub every_days: u32,
    /// Which evidence of use keeps a resource from being named, whatever its score: `evidence` any,
    /// `unseen` what the model cannot see, `score` none. Default: `evidence`.
    pub policy: Policy,
    /// The forest that judges, an ONNX file that reads [`FEATURES`]; relative to the configuration file.
    /// Default: the one that ships.
    pub model: Option<PathBuf>,
}

impl Default for Judging {
    fn default() -> Self {
        Self { every_days: 7, policy: Policy::default(), model: None }
    }
}

impl Judging {
    pub(super) fn validate(&self) -> Result<()> {
        if !(1..=28).contains(&self.every_days) {
            let reason = format!("resources.judge.every_days is {}: 1 to 28", self.every_days);
            return Err(Error::Configuration(reason));
        }
        Ok(())
    }

    /// The day at whose end a resource is judged that was used on a day.
    pub(super) fn judged_on(&self, day: i32) -> i32 {
        day + (SUNDAY - day).rem_euclid(self.every_days as i32)
    }
}

/// What of a resource's size was proposed.
#[derive(Debug, Clone)]
pub(super) struct Sized {
    pub(super) size: String,
    pub(super) currency: String,
    pub(super) committed: bool,
    pub(super) outcome: Outcome,
}

impl Sized {
    /// The size at hand, where it could be judged.
    fn current(&self) -> Option<&Trial> {
        self.outcome.proposal().map(|proposal| &proposal.from)
    }

    /// The size that is proposed, or the one that the reason against it speaks of.
    fn other(&self) -> Option<&Trial> {
        match &self.outcome {
            Outcome::Proposed(proposal) => Some(&proposal.to),
            Outcome::Kept(kept) => kept.trial.as_ref(),
        }
    }

    /// Why the size is too small, or why no other is proposed.
    fn reason(&self) -> Option<Reason> {
        match &self.outcome {
            Outcome::Proposed(proposal) => proposal.undersized,
            Outcome::Kept(kept) => Some(kept.reason),
        }
    }
}

/// A resource with all that a verdict on it needs.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    id: String,
    day: i32,
    cause: Cause,
    features: [f64; FEATURES.len()],
    evidence: Vec<Evidence>,
    rules: Option<Verdict>,
    /// None where no size is known, or it does not run.
    sized: Option<Sized>,
}

impl Judged {
    /// A resource by its hours up to the end of a day.
    pub(super) fn of(
        id: &str,
        day: i32,
        cause: &Cause,
        rows: &Rows<'_>,
        sized: Option<Sized>,
    ) -> Self {
        Self {
            id: id.to_owned(),
            day,
            cause: cause.clone(),
            features: features(&rows.last_days(LOOKBACK_DAYS)),
            evidence: against_termination(rows, &EvidenceConfig::default()),
            rules: rule::verdict(rows),
            sized,
        }
    }
}

/// Rows as a batch; none of none.
pub(super) fn rows(judged: &[Judged]) -> Result<Option<RecordBatch>> {
    if judged.is_empty() {
        return Ok(None);
    }
    let features = judged.iter().flat_map(|row| row.features.map(|value| value as f32));
    let evidence: Vec<Vec<&str>> = judged
        .iter()
        .map(|row| row.evidence.iter().map(|evidence| evidence.name()).collect())
        .collect();
    let rule = |of: fn(&Verdict) -> bool| -> ArrayRef {
        Arc::new(judged.iter().map(|row| row.rules.as_ref().map(of)).collect::<BooleanArray>())
    };
    let mut columns = keys(judged.iter().map(|row| (&row.cause, row.id.as_str(), row.day)));
    columns.extend([
        (FEATURE_COLUMN, Arc::new(vector_array(FEATURES.len(), features.collect())) as ArrayRef),
        (EVIDENCE_COLUMN, lists(evidence.iter().map(Vec::as_slice))),
        ("rule_low_utilisation", rule(|verdict| verdict.low_utilisation)),
        ("rule_idle", rule(|verdict| verdict.idle)),
    ]);
    columns.extend(sized(judged)?);
    batch(columns).map(Some)
}

/// Shares of a size's capacities: of the one at hand, and of the other.
const SHARES: [(Capacity, &str, &str); 4] = [
    (Capacity::Cpu, "cpu_share", "other_cpu_share"),
    (Capacity::Memory, "memory_share", "other_memory_share"),
    (Capacity::Network, "network_share", "other_network_share"),
    (Capacity::Disk, "disk_share", "other_disk_share"),
];

fn sized(judged: &[Judged]) -> Result<Vec<(&'static str, ArrayRef)>> {
    let all = || judged.iter().map(|row| row.sized.as_ref());
    let text = |of: fn(&Sized) -> Option<&str>| -> ArrayRef {
        Arc::new(all().map(|sized| of(sized?)).collect::<StringArray>())
    };
    let money = |of: fn(&Sized) -> Option<i128>| money_array(all().map(|sized| of(sized?)));
    let float = |of: &dyn Fn(&Sized) -> Option<f64>| {
        floats(all().map(|sized| sized.and_then(of).unwrap_or(f64::NAN)))
    };
    let mut columns = vec![
        (OUTCOME_COLUMN, text(|sized| Some(outcome(sized)))),
        ("reason", text(|sized| Some(sized.reason()?.name()))),
        ("size", text(|sized| Some(&sized.size))),
        ("other_size", text(|sized| Some(&sized.other()?.size.name))),
        (CURRENCY, text(|sized| Some(&sized.currency))),
        ("price_hour", money(|sized| Some(sized.current()?.price.hour))?),
        ("other_price_hour", money(|sized| Some(sized.other()?.price.hour))?),
        ("price_basis", text(|sized| Some(sized.other()?.price.basis.name()))),
        ("saving_month", money(|sized| Some(sized.other()?.saving_month))?),
        ("risk", float(&|sized| Some(sized.other()?.risk))),
    ];
    let committed = all().map(|sized| Some(sized?.committed)).collect::<BooleanArray>();
    columns.push(("is_committed", Arc::new(committed)));
    for (capacity, own, other) in SHARES {
        let share = |trial: &Trial| {
            trial.uses.iter().find(|used| used.capacity == capacity).and_then(|used| used.share)
        };
        columns.push((own, float(&|sized| share(sized.current()?))));
        columns.push((other, float(&|sized| share(sized.other()?))));
    }
    Ok(columns)
}

/// In one word.
fn outcome(sized: &Sized) -> &'static str {
    match &sized.outcome {
        Outcome::Kept(_) => "kept",
        Outcome::Proposed(proposal) if proposal.undersized.is_some() => "up",
        Outcome::Proposed(_) => "down",
    }
}
