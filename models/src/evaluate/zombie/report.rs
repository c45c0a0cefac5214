//! The evaluation as a Markdown report and as JSON.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::super::files::{self, INFALLIBLE, array, options};
use super::figures::{BINS, Bin};
use super::reading::read;
use super::{ALL, Importance, Judged, ZombieOptions, ZombieRow};
use crate::Result;

/// What an evaluation of hunters found.
#[derive(Debug, Clone, PartialEq)]
pub struct ZombieEvaluation {
    /// One row for each set and model, and in the simulated fleet for each kind.
    pub rows: Vec<ZombieRow>,
    /// What the forest's probabilities were worth.
    pub reliability: Vec<Bin>,
    /// Which features did most to the forest's scores of those it names.
    pub importance: Vec<Importance>,
    /// How the sets were made and split.
    pub notes: Vec<String>,
    /// What was asked for.
    pub options: ZombieOptions,
}

impl ZombieEvaluation {
    pub(super) fn new(options: ZombieOptions) -> Self {
        let (rows, reliability, importance) = (Vec::new(), Vec::new(), Vec::new());
        Self { rows, reliability, importance, notes: Vec::new(), options }
    }

    pub(super) fn add(&mut self, judged: Judged) {
        self.rows.extend(judged.rows);
        self.reliability.extend(judged.reliability);
        self.importance.extend(judged.importance);
        self.notes.extend(judged.notes);
    }

    /// The rows as a JSON array.
    #[must_use]
    pub fn to_json(&self) -> String {
        array(&self.rows)
    }

    /// The report: reading, figures, set-up.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = String::from(
            "# Idle resources\n\nGenerated, never typed; the sentences too are derived from the figures. \
             The command:\n\n",
        );
        let options = options(self.options.seed, self.options.quick);
        write!(text, "```sh\ncloudops evaluate zombie --data DIR{options}\n```\n\n## Reading\n\n")
            .expect(INFALLIBLE);
        for paragraph in read(&self.rows) {
            write!(text, "{paragraph}\n\n").expect(INFALLIBLE);
        }
        for of_set in self.rows.chunk_by(|a, b| a.set == b.set) {
            write!(text, "## {}\n\n", of_set[0].set).expect(INFALLIBLE);
            figures(of_set, &mut text);
            kinds(of_set, &mut text);
            self.reliability(&of_set[0].set, &mut text);
            self.importance(&of_set[0].set, &mut text);
        }
        self.how(&mut text);
        text
    }

    fn reliability(&self, set: &str, text: &mut String) {
        let bins: Vec<&Bin> = self.reliability.iter().filter(|bin| bin.set == set).collect();
        text.push_str(
            "Reliability of the forest's probability:\n\n| from | to | resources | mean probability | share \
             positive |\n|---:|---:|---:|---:|---:|\n",
        );
        for bin in bins {
            let to = bin.from + 1.0 / BINS as f64;
            let Bin { from, resources, mean_probability, share_positive, .. } = bin;
            writeln!(
                text,
                "| {from:.1} | {to:.1} | {resources} | {mean_probability:.3} | {share_positive:.3} |"
            )
            .expect(INFALLIBLE);
        }
        text.push('\n');
    }

    fn importance(&self, set: &str, text: &mut String) {
        text.push_str(
            "What those named are named for, by the mean size of the features' Shapley values:\n\n\
             | feature | share of trees |\n|---|---:|\n",
        );
        for Importance { feature, mean, .. } in self.importance.iter().filter(|of| of.set == set) {
            writeln!(text, "| `{feature}` | {mean:.3} |").expect(INFALLIBLE);
        }
        text.push('\n');
    }

    fn how(&self, text: &mut String) {
        text.push_str("## How\n\n");
        for note in &self.notes {
            writeln!(text, "- {note}").expect(INFALLIBLE);
        }
        text.push_str(
            "- Thresholds come from training data alone: `forest` names what is at or above the probability \
             at which F1 was greatest out of bag, `logistic-regression` likewise on the rows fitted. \
             `forest-action` names from half way between the highest out-of-bag probability of a resource \
             that must not be terminated and 1. `-unseen` never names a resource with evidence of use that \
             the features do not hold (connections not measured, a short history, a piece of work in the \
             last 35 days), `-evidence` none with any; their thresholds are chosen among the rest.\n\
             - `shipped` is the forest that comes with the binary (`cloudops models pretrain zombie`, \
             `models/pretrained/zombie-forest.md`), learned from simulated fleets of other seeds; its file holds its \
             limits, and none is chosen here. It says of a resource that nobody will use it again, which is \
             not what a Bitbrains target asks.\n\
             - The evidence rules were made with the simulated kinds in mind, so what they find there says \
             little of other fleets. A job that runs less often than once a month looks like a zombie in \
             all rows there are: only its owner, or a tag, can tell.\n\
             - Out of bag goes by resource: a tree that has seen a resource at one moment has seen it at all.\n\
             - A rule's probability is the share of positive rows among those that it named, or did not name, \
             in training.\n\
             - lower: lower end of the precision's 95 % interval (Wilson); upper: upper end of that of the share of \
             hard negatives named. ECE: expected calibration error, ten \
             bins of equal width. raw: of the share of trees before calibration. AP: average precision.\n\
             - `rule-idle`: on each of the last fourteen days the CPU peaks below 5 % and the network moves \
             less than 5 MB. `rule-low-utilisation`: at most 10 % mean CPU and 5 MB on at least four of \
             fourteen days (AWS Trusted Advisor).\n\
             - Nobody has labelled a Bitbrains machine as idle: the targets are rules' verdicts on the future. \
             The simulated fleet's truth is what was put into it; real fleets are stranger.\n",
        );
    }

    /// Writes `zombie.md` and `zombie.json` into a directory, made if need be.
    ///
    /// # Errors
    /// [`crate::Error::File`] when a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let files = [("zombie.md", self.to_markdown()), ("zombie.json", self.to_json())];
        files::write(dir, files)
    }
}

fn figures(rows: &[ZombieRow], text: &mut String) {
    let has_hard = rows.iter().any(|row| row.hard_negatives.is_some());
    text.push_str(
        "| model | resources | positive | threshold | named | precision | lower | recall | F1 | AP | Brier \
         | raw | ECE | raw |",
    );
    text.push_str(if has_hard { " hard negatives named | upper |\n" } else { "\n" });
    text.push_str("|---|");
    text.push_str(&"---:|".repeat(if has_hard { 15 } else { 13 }));
    text.push('\n');
    let cell = |figure: Option<f64>| figure.map(|f| format!("{f:.3}")).unwrap_or_default();
    for row in rows.iter().filter(|row| row.kind == ALL) {
        write!(
            text,
            "| {} | {} | {} | {} | {} |",
            row.model,
            row.resources,
            row.positives,
            cell(row.threshold),
            row.flagged
        )
        .expect(INFALLIBLE);
        for figure in [
            row.precision,
            row.precision_lower,
            row.recall,
            row.f1,
            row.average_precision,
            row.brier,
            row.brier_raw,
            row.calibration_error,
            row.calibration_error_raw,
        ] {
            write!(text, " {} |", cell(figure)).expect(INFALLIBLE);
        }
        if let (Some(hard), Some(named)) = (row.hard_negatives, row.hard_negatives_flagged) {
            let upper = cell(row.hard_negatives_upper);
            write!(text, " {named} of {hard} | {upper} |").expect(INFALLIBLE);
        }
        text.push('\n');
    }
    text.push('\n');
}

/// Resources named, a kind a row and a model a column.
fn kinds(rows: &[ZombieRow], text: &mut String) {
    let models: Vec<&str> =
        rows.iter().filter(|row| row.kind == ALL).map(|row| row.model.as_str()).collect();
    let kinds: Vec<&ZombieRow> =
        rows.iter().filter(|row| row.kind != ALL && row.model == models[0]).collect();
    if kinds.is_empty() {
        return;
    }
    text.push_str("Named, by kind; of the first two kinds of the table all should be, of the others none:\n\n");
    writeln!(text, "| kind | resources | {} |", models.join(" | ")).expect(INFALLIBLE);
    writeln!(text, "|---|---:|{}", "---:|".repeat(models.len())).expect(INFALLIBLE);
    let mut in_order = kinds;
    in_order.sort_by_key(|row| row.positives == 0);
    for kind in in_order {
        write!(text, "| {} | {} |", kind.kind, kind.resources).expect(INFALLIBLE);
        for model in &models {
            let row = rows.iter().find(|row| row.kind == kind.kind && row.model == *model);
            let flagged = row.map_or(0, |row| row.flagged);
            write!(text, " {flagged} |").expect(INFALLIBLE);
        }
        text.push('\n');
    }
    text.push('\n');
}
