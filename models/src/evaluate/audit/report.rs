//! The evaluation as a Markdown report and as JSON.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::super::files::{self, INFALLIBLE, array, options};
use super::detector::{FIRST_SEEN, GENERIC, ISOLATION, OURS};
use super::traffic::days;
use super::{AuditOptions, AuditRow, BUDGETS};
use crate::Result;

/// What an evaluation of audit detectors found.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvaluation {
    /// One row for each figure; see [`AuditRow::set`].
    pub rows: Vec<AuditRow>,
    /// Ordinary windows that were judged.
    pub windows: usize,
    /// Windows with an attack in them.
    pub attacks: usize,
    /// Techniques that were played.
    pub techniques: usize,
    /// Of them, those with an operation that nobody calls in the ordinary traffic.
    pub unheard: usize,
    /// What was asked for.
    pub options: AuditOptions,
}

impl AuditEvaluation {
    /// The rows as a JSON array.
    #[must_use]
    pub fn to_json(&self) -> String {
        array(&self.rows)
    }

    fn of<'a>(&'a self, set: &'a str) -> impl Iterator<Item = &'a AuditRow> {
        self.rows.iter().filter(move |row| row.set == set)
    }

    /// A detector's row of techniques in traffic, at a budget.
    #[must_use]
    pub fn at(&self, model: &str, budget: f64) -> Option<&AuditRow> {
        self.of("stratus").find(|row| row.model == model && row.alerts_per_thousand == Some(budget))
    }

    /// The report: reading, figures, set-up.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = String::from(
            "# Audit behaviour\n\nGenerated, never typed; the sentences too are derived from the \
             figures. The command:\n\n",
        );
        let options = options(self.options.seed, self.options.quick);
        write!(text, "```sh\ncloudops evaluate audit --data DIR{options}\n```\n\n")
            .expect(INFALLIBLE);
        self.read(&mut text);
        self.budgets(&mut text);
        self.limits(&mut text);
        self.parts(&mut text, "stratus-by-technique", "By technique");
        self.parts(&mut text, "stratus-by-victim", "By kind of victim");
        self.recorded(&mut text);
        self.notes(&mut text);
        text
    }

    fn read(&self, text: &mut String) {
        text.push_str("## Reading\n\n");
        for budget in BUDGETS {
            let mut all: Vec<&AuditRow> =
                self.of("stratus").filter(|row| row.alerts_per_thousand == Some(budget)).collect();
            all.sort_by(|a, b| {
                b.recall
                    .unwrap_or(0.0)
                    .total_cmp(&a.recall.unwrap_or(0.0))
                    .then(a.model.cmp(&b.model))
            });
            let Some((best, others)) = all.split_first() else { continue };
            let recall = |row: &AuditRow| format!("{:.3}", row.recall.unwrap_or(0.0));
            write!(
                text,
                "At {budget} false alerts per thousand windows `{}` finds most: {} of the attacks",
                best.model,
                recall(best)
            )
            .expect(INFALLIBLE);
            let others: Vec<String> =
                others.iter().map(|row| format!("`{}` {}", row.model, recall(row))).collect();
            writeln!(text, "; {}.\n", others.join(", ")).expect(INFALLIBLE);
        }
        let limit = |of: &str| {
            let mut rows = self.of("stratus-by-limit").filter(|row| row.model == OURS);
            let row = rows.find(|row| row.of.as_deref() == Some(of))?;
            Some((row.recall?, row.false_alerts_per_thousand?))
        };
        if let (Some(fixed), Some(adaptive)) = (limit("static"), limit("adaptive")) {
            let better = fixed.0 >= adaptive.0 && fixed.1 <= adaptive.1;
            let worse = fixed.0 <= adaptive.0 && fixed.1 >= adaptive.1;
            let verdict = match (better, worse) {
                (true, false) => "the static one is better in both",
                (false, true) => "the adaptive one is better in both",
                _ => "neither is better in both",
            };
            writeln!(
                text,
                "With the product's own limits `{OURS}` finds {:.3} at {:.2} false alerts per thousand by the \
                 static one, and {:.3} at {:.2} by the adaptive one: {verdict}.\n",
                fixed.0, fixed.1, adaptive.0, adaptive.1
            )
            .expect(INFALLIBLE);
        }
    }

    fn budgets(&self, text: &mut String) {
        text.push_str(
            "## Techniques in ordinary traffic\n\n\
             | detector | budget | false alerts | recall | techniques found | AUROC |\n\
             |---|---:|---:|---:|---:|---:|\n",
        );
        for row in self.of("stratus") {
            writeln!(
                text,
                "| {} | {} | {:.2} | {:.3} | {:.3} | {:.4} |",
                row.model,
                row.alerts_per_thousand.unwrap_or(0.0),
                row.false_alerts_per_thousand.unwrap_or(0.0),
                row.recall.unwrap_or(0.0),
                row.techniques_found.unwrap_or(0.0),
                row.auroc.unwrap_or(0.0),
            )
            .expect(INFALLIBLE);
        }
    }

    /// What the product's own limits do.
    fn limits(&self, text: &mut String) {
        text.push_str(
            "\n## With the product's own limits\n\nThe static limit is the 99.9th percentile of the scores \
             on the calibration days; the adaptive one follows each principal. Defaults, chosen for other \
             data.\n\n\
             | detector | limit | false alerts per thousand | recall |\n|---|---|---:|---:|\n",
        );
        for row in self.of("stratus-by-limit") {
            writeln!(
                text,
                "| {} | {} | {:.2} | {:.3} |",
                row.model,
                row.of.as_deref().unwrap_or_default(),
                row.false_alerts_per_thousand.unwrap_or(0.0),
                row.recall.unwrap_or(0.0),
            )
            .expect(INFALLIBLE);
        }
    }

    /// Recall of each detector, a row a part.
    fn parts(&self, text: &mut String, set: &str, title: &str) {
        let models = [OURS, GENERIC, ISOLATION, FIRST_SEEN];
        write!(
            text,
            "\n## {title}\n\nRecall at {} false alerts per thousand windows.\n\n| |",
            BUDGETS[1]
        )
        .expect(INFALLIBLE);
        for model in models {
            write!(text, " {model} |").expect(INFALLIBLE);
        }
        text.push_str("\n|---|---:|---:|---:|---:|\n");
        let parts = self.of(set).filter(|row| row.model == OURS);
        for part in parts.filter_map(|row| row.of.as_deref()) {
            write!(text, "| {part} |").expect(INFALLIBLE);
            for model in models {
                let row =
                    self.of(set).find(|row| row.model == model && row.of.as_deref() == Some(part));
                let recall = row.and_then(|row| row.recall).unwrap_or(0.0);
                write!(text, " {recall:.2} |").expect(INFALLIBLE);
            }
            text.push('\n');
        }
    }

    fn recorded(&self, text: &mut String) {
        text.push_str(
            "\n## A recorded exfiltration\n\nThe place of the attacker's window among all that were \
             recorded; no detector knows any of the principals.\n\n\
             | detector | place | of windows |\n|---|---:|---:|\n",
        );
        for row in self.of("otrf") {
            writeln!(text, "| {} | {} | {} |", row.model, row.rank.unwrap_or(0.0), row.count)
                .expect(INFALLIBLE);
        }
        text.push_str(
            "\n## Events of four providers\n\nCases of detection rules, many cut to what a rule reads.\n\n\
             | log | cases | read | read with a whole envelope | of those that a rule fires on, of a \
             known technique |\n|---|---:|---:|---:|---:|\n",
        );
        for row in self.of("panther") {
            writeln!(
                text,
                "| {} | {} | {:.3} | {:.3} | {:.3} |",
                row.model,
                row.count,
                row.read.unwrap_or(0.0),
                row.read_completed.unwrap_or(0.0),
                row.technique_known.unwrap_or(0.0),
            )
            .expect(INFALLIBLE);
        }
    }

    fn notes(&self, text: &mut String) {
        let [remembered, learned, calibrated, judged] = days(&self.options);
        write!(
            text,
            "\n## How\n\n\
             - Ordinary traffic is simulated (seed {}): eight kinds of principals with their tasks, hours, \
             regions and agents, in which something new is mostly harmless. {remembered} days are only \
             remembered, {learned} learned from, {calibrated} calibrated on, {judged} judged: {} windows of \
             an hour. Real traffic is stranger than simulated traffic.\n\
             - Attacks are recorded (Stratus Red Team): {} windows, each technique once for each principal, \
             in an hour of the judged days in which the principal works, among its own calls. The \
             attacker's events get the victim's identity, address, agent, account and region: what tells \
             them apart is what was called, in which order, how fast, and what failed.\n\
             - {} of the {} techniques call an operation that nobody calls in the ordinary traffic; in an \
             organisation in which somebody does, they are harder to find.\n\
             - The budget is of false alerts on the judged ordinary windows, the same for every detector; \
             the limit is the least that keeps it. Nothing is adjusted, and every pair of technique and \
             victim counts once.\n\
             - What there was to choose (how much the fleet weighs in a principal's own scaling) was chosen \
             on traffic of seeds 11 to 13.\n\
             - `{OURS}`: each principal is standardised by its own windows, mixed with the fleet's; \
             `{GENERIC}`: by the fleet's alone. `pca` and `max-abs-z` read the same features. \
             `{ISOLATION}`: 100 trees of 256 windows. `{FIRST_SEEN}`: how many operations of the window \
             its principal had never called, in all its history.\n\
             - ATT&CK techniques are no input of any detector.\n",
            self.options.seed, self.windows, self.attacks, self.unheard, self.techniques
        )
        .expect(INFALLIBLE);
    }

    /// Writes `audit.md` and `audit.json` into a directory, made if need be.
    ///
    /// # Errors
    /// [`crate::Error::File`] when a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let files = [("audit.md", self.to_markdown()), ("audit.json", self.to_json())];
        files::write(dir, files)
    }
}
