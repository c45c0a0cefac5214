//! What a log would have said of the learned policy: estimates beside the truth.

use serde::{Deserialize, Serialize};

use super::sets::Parts;
use crate::evaluate::files::rounded;
use crate::policy::Problem;
use crate::policy::off_policy::{Behaviour, Estimate, evaluate as estimate, log};
use crate::policy::tabular::Table;

/// Decisions of an episode.
pub const STEPS: usize = 6;
/// Shares of the steps in which the logged policy tries something else.
const EXPLORED: [f64; 2] = [0.2, 0.5];

/// One estimate of what the learned table costs, from a log on the test part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedRow {
    /// The set.
    pub set: String,
    /// The policy that is judged: `q-table`.
    pub model: String,
    /// How: `importance`, `fitted` or `doubly-robust`.
    pub estimator: String,
    /// What was logged.
    pub behaviour: String,
    /// Episodes of the log.
    pub episodes: usize,
    /// Episodes that the weights are worth.
    pub effective: f64,
    /// What the logged policy cost, priced, a step.
    pub logged: f64,
    /// What the estimator says that the learned one would have cost; absent where the log says nothing.
    pub estimate: Option<f64>,
    /// The estimate's standard error.
    pub error: Option<f64>,
    /// What it does cost.
    pub truth: f64,
}

/// Logs the action that the table takes most often, with something else tried now and then, and estimates
/// the table from it.
pub(super) fn evaluate<P: Problem>(
    set: &str,
    parts: &Parts<P>,
    table: &Table,
    seed: u64,
) -> Vec<LoggedRow> {
    let mut seen = vec![0; P::ACTIONS.len()];
    (0..P::CELLS).for_each(|cell| seen[table.action(cell)] += table.seen(cell));
    let most = (0..seen.len()).max_by_key(|action| (seen[*action], usize::MAX - action));
    let action = most.unwrap_or(0);
    let mut rows = Vec::new();
    for explored in EXPLORED {
        let episodes = log(&parts.test, Behaviour { action, explored }, STEPS, seed);
        let Some(found) = estimate(&episodes, |cell| table.action(cell), table.price) else {
            continue;
        };
        let mut add = |estimator: &str, Estimate { value, error }: Estimate| {
            rows.push(LoggedRow {
                set: set.to_owned(),
                model: "q-table".to_owned(),
                estimator: estimator.to_owned(),
                behaviour: format!("`{}`, {explored} explored", P::ACTIONS[action]),
                episodes: found.episodes,
                effective: rounded(found.effective),
                logged: rounded(found.behaviour),
                estimate: value.is_finite().then(|| rounded(value)),
                error: error.map(rounded),
                truth: rounded(found.truth),
            });
        };
        add("importance", found.importance);
        add("fitted", found.fitted);
        add("doubly-robust", found.doubly_robust);
    }
    rows
}
