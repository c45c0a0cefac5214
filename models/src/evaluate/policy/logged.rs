//! What a log would have said of the learned policy: estimates beside the truth.

use serde::{Deserialize, Serialize};

use super::sets::Parts;
use crate::evaluate::files::rounded;
use crate::policy::Problem;
use crate::policy::off_policy::{Behaviour, Estimate, OffPolicy, evaluate as estimate, log};
use crate::policy::tabular::Table;

/// Which of the estimates.
type Estimator = fn(&OffPolicy) -> Estimate;

/// Decisions of an episode: few, since weights are products over them.
pub const STEPS: [usize; 2] = [3, 6];
/// Shares of the steps in which the logged policy tries something else.
const EXPLORED: [f64; 2] = [0.2, 0.5];
/// Estimators, and where each stands in what is found.
const ESTIMATORS: [(&str, Estimator); 3] = [
    ("importance", |found| found.importance),
    ("fitted", |found| found.fitted),
    ("doubly-robust", |found| found.doubly_robust),
];

/// One estimator of what the learned tables cost, from logs on the test part: means over the seeds.
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
    /// Seeds whose log says something; each has a table and a log of its own.
    pub seeds: usize,
    /// Decisions of an episode.
    pub steps: usize,
    /// Episodes of a log.
    pub episodes: usize,
    /// Episodes that the weights are worth.
    pub effective: f64,
    /// What the logged policy cost, priced, a step.
    pub logged: f64,
    /// What the estimator says that the learned one would have cost; absent where no log says anything.
    pub estimate: Option<f64>,
    /// The estimate's standard error, as the estimator gives it.
    pub error: Option<f64>,
    /// Root mean square over the seeds of the estimate's distance from the truth.
    pub off: Option<f64>,
    /// What it does cost.
    pub truth: f64,
}

/// Logs the action that the first table takes most often, with something else tried now and then, and estimates
/// each seed's table from a log of its own.
pub(super) fn evaluate<P: Problem>(
    set: &str,
    parts: &Parts<P>,
    tables: &[(u64, &Table)],
) -> Vec<LoggedRow> {
    let Some((_, first)) = tables.first() else { return vec![] };
    let mut seen = vec![0; P::ACTIONS.len()];
    (0..P::CELLS).for_each(|cell| seen[first.action(cell)] += first.seen(cell));
    let most = (0..seen.len()).max_by_key(|action| (seen[*action], usize::MAX - action));
    let action = most.unwrap_or(0);
    let mut rows = Vec::new();
    let logs = STEPS.into_iter().flat_map(|steps| EXPLORED.map(|explored| (steps, explored)));
    for (steps, explored) in logs {
        let of_seed = |(seed, table): &(u64, &Table)| {
            let episodes = log(&parts.test, Behaviour { action, explored }, steps, *seed);
            estimate(&episodes, |cell| table.action(cell), table.price)
        };
        let all: Vec<OffPolicy> = tables.iter().filter_map(of_seed).collect();
        let behaviour = format!("`{}`, {explored} explored", P::ACTIONS[action]);
        rows.extend(ESTIMATORS.into_iter().filter_map(|(estimator, of)| {
            let mean_of = |of: &dyn Fn(&OffPolicy) -> f64| mean(all.iter().map(of));
            let said: Vec<(Estimate, f64)> = all
                .iter()
                .map(|found| (of(found), found.truth))
                .filter(|(estimate, _)| estimate.value.is_finite())
                .collect();
            let squares = said.iter().map(|(estimate, truth)| (estimate.value - truth).powi(2));
            Some(LoggedRow {
                set: set.to_owned(),
                model: "q-table".to_owned(),
                estimator: estimator.to_owned(),
                behaviour: behaviour.clone(),
                seeds: said.len(),
                steps,
                episodes: all.first()?.episodes,
                effective: rounded(mean_of(&|found| found.effective)?),
                logged: rounded(mean_of(&|found| found.behaviour)?),
                estimate: mean(said.iter().map(|(estimate, _)| estimate.value)).map(rounded),
                error: mean(said.iter().filter_map(|(estimate, _)| estimate.error)).map(rounded),
                off: mean(squares).map(|square| rounded(square.sqrt())),
                truth: rounded(mean_of(&|found| found.truth)?),
            })
        }));
    }
    rows
}

/// `None` of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then_some(sum / count)
}
