//! The evaluation as a Markdown report, as JSON, as charts, and what was learned as CSV and ONNX.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::files::{self, INFALLIBLE, array, options};
use super::super::plot::Lines;
use super::candidates::PRICES;
use super::curve::{LEVELS, Point};
use super::interval::DRAWS;
use super::logged::LoggedRow;
use super::reading::{read, read_logged};
use super::sets::BLOCK;
use super::{Figure, Judged, LEVEL, PolicyOptions, PolicyRow};
use crate::Result;
use crate::policy::Problem;
use crate::policy::tabular::Table;

/// A situation of a learned table, in words, and what is done there.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The set.
    pub set: String,
    /// What distinguishes the situation: names and values.
    pub situation: Vec<(&'static str, String)>,
    /// What is done.
    pub action: &'static str,
    /// Times that the situation was met in learning.
    pub seen: u64,
    /// Cost a step that is expected of it, discounted.
    pub cost: f64,
    /// Violations a step that are expected of it, discounted.
    pub violations: f64,
}

/// The situations of a table that were met, the most frequent first.
pub(super) fn cells<P: Problem>(set: &str, table: &Table) -> Vec<Cell> {
    let met = (0..P::CELLS).filter(|cell| table.seen(*cell) > 0);
    let cell = |cell: usize| {
        let action = table.action(cell);
        let expected = table.expected(cell, action);
        Cell {
            set: set.to_owned(),
            situation: P::words(cell),
            action: P::ACTIONS[action],
            seen: table.seen(cell),
            cost: expected.cost,
            violations: expected.violations,
        }
    };
    let mut cells: Vec<Cell> = met.map(cell).collect();
    cells.sort_by_key(|cell| std::cmp::Reverse(cell.seen));
    cells
}

/// What an evaluation of policies found.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyEvaluation {
    /// What each set gave.
    pub sets: Vec<Judged>,
    /// How the sets were made and split.
    pub notes: Vec<String>,
    /// What was asked for.
    pub options: PolicyOptions,
}

/// A row of either kind, as JSON has them.
#[derive(Serialize)]
#[serde(untagged)]
enum AnyRow<'a> {
    Played(&'a PolicyRow),
    Logged(&'a LoggedRow),
}

/// Situations that the report lists of each table; the CSV has all of them.
const LISTED: usize = 12;

impl PolicyEvaluation {
    pub(super) fn new(options: PolicyOptions) -> Self {
        Self { sets: vec![], notes: vec![], options }
    }

    pub(super) fn add(&mut self, judged: Judged, notes: Vec<String>) {
        self.sets.push(judged);
        self.notes.extend(notes);
    }

    /// The rows of all sets.
    #[must_use]
    pub fn rows(&self) -> Vec<PolicyRow> {
        self.sets.iter().flat_map(|set| set.rows.clone()).collect()
    }

    /// The rows as a JSON array: those of [`PolicyRow`], then those of [`LoggedRow`].
    #[must_use]
    pub fn to_json(&self) -> String {
        let played = self.sets.iter().flat_map(|set| set.rows.iter().map(AnyRow::Played));
        let logged = self.sets.iter().flat_map(|set| set.logged.iter().map(AnyRow::Logged));
        array(&played.chain(logged).collect::<Vec<_>>())
    }

    /// The report: reading, figures, set-up.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = String::from(
            "# Scaling and stopping\n\nGenerated, never typed; the sentences too are derived from the \
             figures. The command:\n\n",
        );
        let options = options(self.options.seed, self.options.quick);
        write!(text, "```sh\ncloudops evaluate policy --data DIR{options}\n```\n\n## Reading\n\n")
            .expect(INFALLIBLE);
        for paragraph in read(&self.rows()) {
            write!(text, "{paragraph}\n\n").expect(INFALLIBLE);
        }
        let rows: Vec<&LoggedRow> = self.sets.iter().flat_map(|set| &set.logged).collect();
        write!(text, "**From logs.** {}\n\n", read_logged(&rows)).expect(INFALLIBLE);
        for set in &self.sets {
            write!(text, "## {}\n\n", set.set).expect(INFALLIBLE);
            equal(set, &mut text);
            aimed(set, &mut text);
            write!(text, "![{0}]({0})\n\n", chart_file(set)).expect(INFALLIBLE);
            logged(set, &mut text);
            table(set, &mut text);
        }
        self.how(&mut text);
        text
    }

    fn how(&self, text: &mut String) {
        text.push_str("## How\n\n");
        for note in &self.notes {
            writeln!(text, "- {note}").expect(INFALLIBLE);
        }
        let seeds: Vec<String> = self.options.seeds().iter().map(u64::to_string).collect();
        writeln!(
            text,
            "- Demand is in instances: what 95 of 100 steps of a service's part to fit do not exceed is 8, \
             most are 24. An instance serves five minutes after it was asked for, or one step where that is \
             longer, and is paid for from the start. A step violates when some of its demand is not served. \
             Cost of scaling: instance-steps paid, of those that serve each step's demand exactly; of \
             machines: price paid, of that of running always.\n\
             - `fixed`: always so many. `threshold`: a step up above a utilisation, a step down below another, \
             then a pause. `autoscaler`: the formula of Kubernetes' HorizontalPodAutoscaler, with its tolerance \
             and its window of stabilisation. `predictive`: a headroom over what is asked now or, where it is \
             more, what yesterday's growth lets expect. `time-out`: stopped and terminated after so many idle \
             hours; `-schedule`: but kept, or started, at hours at which the machine is usually needed.\n\
             - `q-table`, `q-network`: Q-learning with a table and with a network of two layers of 32 units, \
             the latter as an ONNX file played by ONNX Runtime; learned anew with the seeds {}. Their one \
             setting is the price of a violation, one of {}. The spread is the standard deviation over the \
             seeds.\n\
             - Equal violations: each controller's settings are chosen for several shares of violations on the \
             part set aside for that, and played on the test part. There, from the strictest on, the two \
             between which a share is first exceeded are mixed so as to violate exactly that share. Empty \
             where even the strictest violates more. Nothing else is taken from the test part, for any \
             controller; only the rule that is named the cheapest is the cheapest there.\n\
             - The intervals: blocks of {BLOCK} steps, or machines, of the test part are drawn {DRAWS} times with \
             replacement, and seeds with them. A controller wins where all of the interval says so.\n\
             - Off-policy: what the logs of another policy say that the learned tables would have cost, a \
             violation priced as in learning, in episodes of so many steps, one log and one table a seed. \
             Effective: episodes that the importance weights are worth. Off: root mean square distance from \
             the truth, which is played in the simulator.",
            seeds.join(", "),
            PRICES.len()
        )
        .expect(INFALLIBLE);
    }

    /// Writes `policy.md`, `policy.json`, and for each set a chart, the learned table as CSV and the learned
    /// network as ONNX, into a directory, made if need be.
    ///
    /// # Errors
    /// [`crate::Error::File`] when a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let mut all = vec![
            ("policy.md".to_owned(), self.to_markdown().into_bytes()),
            ("policy.json".to_owned(), self.to_json().into_bytes()),
        ];
        for set in &self.sets {
            all.push((chart_file(set), chart(set).to_svg().into_bytes()));
            all.push((table_file(set), csv(&set.table).into_bytes()));
            all.push((network_file(set), set.onnx.clone()));
        }
        files::write(dir, all)
    }
}

fn chart_file(set: &Judged) -> String {
    format!("policy-{}.svg", set.set)
}

fn table_file(set: &Judged) -> String {
    format!("policy-{}.csv", set.set)
}

fn network_file(set: &Judged) -> String {
    format!("policy-{}.onnx", set.set)
}

/// Violations beyond this are of no interest to anyone.
const CHARTED: f64 = 0.1;

fn chart(set: &Judged) -> Lines {
    let of = |points: &[Point]| {
        let points = points.iter().filter(|point| point.violations <= CHARTED);
        points.map(|point| (point.violations, point.cost)).collect()
    };
    Lines {
        title: set.set.clone(),
        axes: ["share of steps that violate".to_owned(), "cost on the test part".to_owned()],
        series: set.curves.iter().map(|(model, points)| (model.clone(), of(points))).collect(),
    }
}

fn cell(figure: Option<f64>) -> String {
    figure.map(|figure| format!("{figure:.3}")).unwrap_or_default()
}

/// Costs where violations are equal.
fn equal(set: &Judged, text: &mut String) {
    text.push_str("Cost where violations are equal:\n\n| controller |");
    for level in LEVELS {
        write!(text, " {} % |", 100.0 * level).expect(INFALLIBLE);
    }
    writeln!(text, "\n|---|{}", "---:|".repeat(LEVELS.len())).expect(INFALLIBLE);
    let rows: Vec<&PolicyRow> = set.rows.iter().filter(|row| row.figure == Figure::Equal).collect();
    for of_model in rows.chunk_by(|a, b| a.model == b.model) {
        write!(text, "| {} |", of_model[0].model).expect(INFALLIBLE);
        for row in of_model {
            let spread = row.spread.map(|spread| format!(" ± {spread:.3}")).unwrap_or_default();
            write!(text, " {}{spread} |", cell(row.cost)).expect(INFALLIBLE);
        }
        text.push('\n');
    }
    text.push('\n');
}

/// What settings chosen for one share of violations gave.
fn aimed(set: &Judged, text: &mut String) {
    writeln!(
        text,
        "Settings chosen for {} % of violations, on the test part:\n\n\
         | controller | seed | settings | cost | violations | unserved | changes |\n\
         |---|---:|---|---:|---:|---:|---:|",
        100.0 * LEVEL
    )
    .expect(INFALLIBLE);
    for row in set.rows.iter().filter(|row| row.figure == Figure::Aimed && row.at == LEVEL) {
        writeln!(
            text,
            "| {} | {} | {} | {} | {:.2} % | {:.2} % | {} |",
            row.model,
            row.seed.map(|seed| seed.to_string()).unwrap_or_default(),
            row.settings.as_deref().unwrap_or_default(),
            cell(row.cost),
            100.0 * row.violations.unwrap_or_default(),
            100.0 * row.unserved.unwrap_or_default(),
            cell(row.changes),
        )
        .expect(INFALLIBLE);
    }
    text.push('\n');
}

fn logged(set: &Judged, text: &mut String) {
    text.push_str(
        "What logs of another policy say of the learned tables:\n\n\
         | log | steps | its cost | episodes | effective | estimator | seeds | estimate | standard error | truth | off |\n\
         |---|---:|---:|---:|---:|---|---:|---:|---:|---:|---:|\n",
    );
    for row in &set.logged {
        let LoggedRow { behaviour, steps, logged, episodes, effective, estimator, seeds, .. } = row;
        writeln!(
            text,
            "| {behaviour} | {steps} | {logged:.3} | {episodes} | {effective:.1} | {estimator} | {seeds} | {} | {} | \
             {:.3} | {} |",
            cell(row.estimate),
            cell(row.error),
            row.truth,
            cell(row.off)
        )
        .expect(INFALLIBLE);
    }
    text.push('\n');
}

/// The situations met most often, and what is done in them.
fn table(set: &Judged, text: &mut String) {
    let Some(first) = set.table.first() else { return };
    let file = table_file(set);
    let (all, network) = (set.table.len(), network_file(set));
    let names: Vec<&str> = first.situation.iter().map(|(name, _)| *name).collect();
    writeln!(
        text,
        "What the table of the first seed does in the situations met most often ([`{file}`]({file}) \
         has all {all}; [`{network}`]({network}) is its network).\n\n| {} | does | met | expected cost | expected violations |\n|{}---|---:|---:|---:|",
        names.join(" | "),
        "---|".repeat(names.len())
    )
    .expect(INFALLIBLE);
    for cell in set.table.iter().take(LISTED) {
        let values: Vec<&str> = cell.situation.iter().map(|(_, value)| value.as_str()).collect();
        let Cell { action, seen, cost, violations, .. } = cell;
        writeln!(
            text,
            "| {} | {action} | {seen} | {cost:.3} | {violations:.4} |",
            values.join(" | ")
        )
        .expect(INFALLIBLE);
    }
    text.push('\n');
}

/// All situations, one a line.
fn csv(cells: &[Cell]) -> String {
    let Some(first) = cells.first() else { return String::new() };
    let names: Vec<String> =
        first.situation.iter().map(|(name, _)| name.replace(' ', "_")).collect();
    let mut text = format!("{},action,met,cost,violations\n", names.join(","));
    for Cell { situation, action, seen, cost, violations, .. } in cells {
        let values: Vec<&str> = situation.iter().map(|(_, value)| value.as_str()).collect();
        writeln!(text, "{},{action},{seen},{cost:.4},{violations:.5}", values.join(","))
            .expect(INFALLIBLE);
    }
    text
}
