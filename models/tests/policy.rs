//! Policies: what is learned beside exact dynamic programming, and the evaluation on the public sets where the
//! environment says where they are.

#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

use std::path::{Path, PathBuf};

use cloudops_datasets::simulate::scaling::{ScalingConfig, Service};
use cloudops_models::evaluate::policy::curve::{AIMS, LEVELS};
use cloudops_models::evaluate::policy::logged::LoggedRow;
use cloudops_models::evaluate::policy::{
    Figure, LEVEL, PolicyEvaluation, PolicyOptions, PolicyRow, evaluate_policy,
};
use cloudops_models::policy::network::{NetworkTraining, QNetwork, learn};
use cloudops_models::policy::tabular::{Table, TabularTraining};
use cloudops_models::policy::{Problem, Step};
use cloudops_operators::seeded::SplitMix64;

/// Demand of one or three instances, which stays as it is more often than not; one instance or three may be
/// wanted, and the two more take a step to start. Four situations, in which all that matters is known.
#[derive(Clone)]
struct Tiny<'a> {
    demand: &'a [f64],
    service: Service<'a>,
    at: usize,
}

const LOW: f64 = 1.0;
const HIGH: f64 = 3.0;

fn demand(steps: usize) -> Vec<f64> {
    let mut random = SplitMix64::new(11);
    let mut last = LOW;
    let next = |_| {
        let leaves = if last == LOW { 0.2 } else { 0.1 };
        if random.uniform() < leaves {
            last = LOW + HIGH - last;
        }
        last
    };
    (0..steps).map(next).collect()
}

impl<'a> Tiny<'a> {
    fn new(demand: &'a [f64]) -> Self {
        let config = ScalingConfig { minimum: 1, maximum: 3, start_steps: 1 };
        Self { demand, service: Service::new(config, demand, 1).unwrap(), at: 0 }
    }

    fn committed(&self) -> usize {
        let (running, starting) = self.service.instances();
        running + starting
    }
}

impl Problem for Tiny<'_> {
    const ACTIONS: &'static [&'static str] = &["one", "three"];
    const CELLS: usize = 4;
    const FEATURES: usize = 4;
    const DISCOUNT: f64 = 0.8;

    fn cell(&self) -> usize {
        let last = self.at.checked_sub(1).map_or(LOW, |last| self.demand[last]);
        2 * usize::from(last == HIGH) + usize::from(self.committed() == 3)
    }

    fn features(&self, into: &mut Vec<f32>) {
        let cell = self.cell();
        into.extend((0..Self::CELLS).map(|one| f32::from(u8::from(one == cell))));
    }

    fn act(&mut self, action: usize) -> Option<Step> {
        let wanted = [1, 3][action];
        let outcome = self.service.step(wanted - self.committed() as isize)?;
        self.at += 1;
        Some(Step {
            cost: outcome.paid as f64,
            is_asked: true,
            is_violation: outcome.is_violation(),
            ..Step::default()
        })
    }

    fn words(cell: usize) -> Vec<(&'static str, String)> {
        vec![("cell", cell.to_string())]
    }
}

/// Priced cost a step of every cell's actions, by value iteration over what the demand was seen to do.
fn exact(demand: &[f64], price: f64) -> [[f64; 2]; 4] {
    let mut pairs = [[0.0; 2]; 2];
    for pair in demand.windows(2) {
        pairs[usize::from(pair[0] == HIGH)][usize::from(pair[1] == HIGH)] += 1.0;
    }
    let high = pairs.map(|[low, high]| high / (low + high));
    let mut values = [[0.0; 2]; 4];
    for _ in 0..400 {
        let least = values.map(|[one, three]| f64::min(one, three));
        for (cell, of_cell) in values.iter_mut().enumerate() {
            let (level, is_ready) = (cell / 2, cell % 2 == 1);
            for (action, value) in of_cell.iter_mut().enumerate() {
                let violations = if action == 1 && is_ready { 0.0 } else { high[level] };
                let now = [1.0, 3.0][action] + price * violations;
                let ahead = (1.0 - high[level]) * least[action] + high[level] * least[2 + action];
                *value = (1.0 - Tiny::DISCOUNT) * now + Tiny::DISCOUNT * ahead;
            }
        }
    }
    values
}

/// Holds what is expected of every cell's actions against the exact values.
fn check(price: f64, tolerance: f64, expected: impl Fn(usize) -> [f64; 2]) {
    let exact = exact(&demand(20_000), price);
    for (cell, exact) in exact.into_iter().enumerate() {
        let found = expected(cell);
        for (found, exact) in found.into_iter().zip(exact) {
            assert!((found / exact - 1.0).abs() < tolerance, "{price} {cell}: {found} {exact}");
        }
        // Where one action is clearly better, it is the one that is taken.
        if (exact[0] / exact[1] - 1.0).abs() > tolerance {
            assert_eq!(found[0] < found[1], exact[0] < exact[1], "{price} {cell}: {found:?}");
        }
    }
}

/// At the first a broken promise is cheap, at the second one answers demand, at the third one is always ready.
const TINY_PRICES: [f64; 3] = [1.0, 4.0, 40.0];

#[test]
fn the_prices_lead_to_policies_that_differ() {
    let best =
        TINY_PRICES.map(|price| exact(&demand(20_000), price).map(|[one, three]| one > three));
    assert_eq!(best, [[false; 4], [false, false, true, true], [true; 4]]);
}

#[test]
fn a_table_finds_what_dynamic_programming_finds() {
    let demand = demand(20_000);
    for price in TINY_PRICES {
        let training = TabularTraining { price, passes: 20, seed: 3 };
        let table = Table::learn(&[Tiny::new(&demand)], &training);
        check(price, 0.12, |cell| {
            [0, 1].map(|action| {
                let expected = table.expected(cell, action);
                expected.cost + price * expected.violations
            })
        });
    }
}

#[test]
fn a_network_finds_what_dynamic_programming_finds_at_every_price() {
    let demand = demand(20_000);
    let training = NetworkTraining { transitions: 20_000, seed: 3, ..NetworkTraining::default() };
    let learned = learn(&[Tiny::new(&demand)], &training).unwrap();
    let mut network = QNetwork::open(&learned.onnx).unwrap();
    for price in TINY_PRICES {
        let situations: Vec<f32> =
            (0..16).map(|at| f32::from(u8::from(at % 4 == at / 4))).collect();
        let (cost, violations) = network.run(&situations, &[price as f32; 4]).unwrap();
        check(price, 0.15, |cell| {
            [0, 1].map(|action| {
                let at = 2 * cell + action;
                f64::from(cost[at]) + price * f64::from(violations[at])
            })
        });
    }
}

/// The real sets, where the environment says they are; else the test is skipped.
fn real() -> Option<PathBuf> {
    let dir = std::env::var_os("CLOUDOPS_DATASETS");
    if dir.is_none() {
        eprintln!("skipped: CLOUDOPS_DATASETS is not set");
    }
    dir.map(Into::into)
}

fn of<'a>(rows: &'a [PolicyRow], set: &str, model: &str, figure: Figure) -> Vec<&'a PolicyRow> {
    let is_it = |row: &&PolicyRow| row.set == set && row.model == model && row.figure == figure;
    rows.iter().filter(is_it).collect()
}

#[test]
fn rules_and_what_is_learned_are_played_on_real_demand_and_the_figures_repeat() {
    let Some(dir) = real() else { return };
    let options = PolicyOptions { quick: true, threads: 1, ..PolicyOptions::default() };
    let mut told = Vec::new();
    let found = evaluate_policy(&dir, &options, &mut |done, of, set| {
        told.push((done, of, set.to_owned()));
    });
    let found = found.unwrap();
    assert_eq!((told.len(), told.last().unwrap().0), (4, told[0].1));
    let rows = found.rows();
    let scaling = ["fixed", "threshold", "autoscaler", "predictive", "q-table", "q-network"];
    let standby = ["always-on", "time-out", "time-out-schedule", "q-table", "q-network"];
    for (set, models) in [("scaling-bitbrains", &scaling[..]), ("standby-bitbrains", &standby)] {
        for model in models {
            let runs = if model.starts_with("q-") { options.seeds().len() } else { 1 };
            let aimed = of(&rows, set, model, Figure::Aimed);
            assert_eq!(aimed.len(), runs * AIMS.len(), "{set} {model}");
            assert_eq!(of(&rows, set, model, Figure::Equal).len(), LEVELS.len());
            // Where settings are chosen, a looser aim never costs more; on the test part, never much more.
            for of_run in aimed.chunks(AIMS.len()) {
                for pair in of_run.windows(2) {
                    assert!(pair[1].cost.unwrap() < 1.1 * pair[0].cost.unwrap(), "{pair:?}");
                }
            }
        }
    }
    let at = |model: &str| {
        let rows = of(&rows, "scaling-bitbrains", model, Figure::Equal);
        rows.into_iter().find(|row| row.at == LEVEL).unwrap().clone()
    };
    // Whoever scales pays less than who never does, and more than what is needed.
    let (fixed, formula) = (at("fixed").cost.unwrap(), at("autoscaler").cost.unwrap());
    assert!(1.0 < formula && formula < fixed, "{formula} {fixed}");
    let always = of(&rows, "standby-bitbrains", "always-on", Figure::Aimed);
    assert!(always.iter().all(|row| (row.cost, row.violations) == (Some(1.0), Some(0.0))));
    let learned = at("q-table");
    let cheapest = scaling[..4].iter().filter_map(|model| at(model).cost).fold(9.0, f64::min);
    assert_eq!(at(learned.rule.as_deref().unwrap()).cost, Some(cheapest), "{learned:?}");

    // Every estimate from a log stands beside the truth.
    for set in &found.sets {
        assert_eq!(set.logged.len(), 12, "{}", set.set);
        let is_judged = |row: &LoggedRow| row.truth > 0.0 && (row.seeds == 0) == row.off.is_none();
        assert!(set.logged.iter().all(is_judged), "{}", set.set);
        let fitted = set.logged.iter().filter(|row| row.estimator == "fitted");
        assert!(fitted.into_iter().all(|row| row.seeds == 2), "{}", set.set);
    }
    files(&found);
    let threads = PolicyOptions { threads: 3, ..options };
    let again = evaluate_policy(&dir, &threads, &mut |_, _, _| {}).unwrap();
    assert_eq!((found.to_json(), found.to_markdown()), (again.to_json(), again.to_markdown()));
    assert_eq!(found.sets, again.sets);
    let seed = PolicyOptions { seed: 7, ..options };
    let other = evaluate_policy(&dir, &seed, &mut |_, _, _| {}).unwrap();
    assert_ne!(found.to_json(), other.to_json(), "a seed decides something");
}

/// What is written can be read: the rows, the table, and the network by the runtime.
fn files(found: &PolicyEvaluation) {
    let dir = tempfile::tempdir().unwrap();
    let written = found.write(dir.path()).unwrap();
    assert_eq!(written.len(), 2 + 3 * found.sets.len());
    let json = std::fs::read(dir.path().join("policy.json")).unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&json).unwrap();
    assert!(rows.iter().all(|row| row["set"].is_string() && row["model"].is_string()));
    let text = std::fs::read_to_string(dir.path().join("policy.md")).unwrap();
    for model in ["`q-table`", "`q-network`"] {
        let is_said = |line: &str| {
            line.contains(&format!("{model} wins on"))
                && (line.contains("an adviser") || line.contains("decide by itself"))
        };
        assert!(text.lines().any(is_said), "{text}");
    }
    for set in &found.sets {
        let path = |end: &str| dir.path().join(format!("policy-{}.{end}", set.set));
        let table = std::fs::read_to_string(path("csv")).unwrap();
        assert_eq!(table.lines().count(), 1 + set.table.len());
        let columns = table.lines().next().unwrap().split(',').count();
        assert!(table.lines().all(|line| line.split(',').count() == columns), "{}", set.set);
        let mut network = QNetwork::open(&std::fs::read(path("onnx")).unwrap()).unwrap();
        let (features, actions) = if set.set.starts_with("scaling") { (13, 9) } else { (7, 3) };
        let (cost, violations) = network.run(&vec![0.5; 2 * features], &[1.0, 64.0]).unwrap();
        assert_eq!((cost.len(), violations.len()), (2 * actions, 2 * actions));
    }
}

#[test]
#[ignore = "rewrites models/evaluation/policy* from the real sets"]
fn the_committed_report() {
    let dir = real().expect("CLOUDOPS_DATASETS names the real sets");
    let begun = std::time::Instant::now();
    let found = evaluate_policy(&dir, &PolicyOptions::default(), &mut |done, of, set| {
        eprintln!("{done} of {of}, {set}, {:?}", begun.elapsed());
    });
    let output = std::env::var_os("POLICY_OUTPUT").map(PathBuf::from);
    let output = output.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("evaluation"));
    found.unwrap().write(&output).unwrap();
}
