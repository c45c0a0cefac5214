//! The evaluation as a Markdown report and as JSON.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use cloudops_datasets::simulate::incident::IncidentConfig;

use super::super::files::{self, INFALLIBLE, array, options};
use super::{IncidentOptions, IncidentRow};
use crate::Result;

/// What an evaluation of detectors found.
#[derive(Debug, Clone, PartialEq)]
pub struct IncidentEvaluation {
    /// One row for each detector and kind of incident.
    pub rows: Vec<IncidentRow>,
    /// The bills' sizes.
    pub config: IncidentConfig,
    /// What was asked for.
    pub options: IncidentOptions,
}

impl IncidentEvaluation {
    /// The rows as a JSON array.
    #[must_use]
    pub fn to_json(&self) -> String {
        array(&self.rows)
    }

    /// The report: reading, figures, set-up.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = String::from(
            "# Strange days of bills\n\nGenerated, never typed; the sentences too are derived from \
             the figures. The command:\n\n",
        );
        let options = options(self.options.seed, self.options.quick);
        write!(text, "```sh\ncloudops evaluate incidents{options}\n```\n\n").expect(INFALLIBLE);
        self.read(&mut text);
        text.push_str(
            "\n| model | incidents | of them | recall | precision | F1 | false alerts an account-month \
             | service first | region first | retracted in time |\n\
             |---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        );
        let figure = |figure: Option<f64>| figure.map(|f| format!("{f:.3}")).unwrap_or_default();
        for row in &self.rows {
            writeln!(
                text,
                "| {} | {} | {} | {:.3} | {} | {} | {} | {} | {} | {} |",
                row.model,
                row.kind,
                row.incidents,
                row.recall,
                figure(row.precision),
                figure(row.f1),
                figure(row.false_alerts),
                figure(row.service_first),
                figure(row.region_first),
                figure(row.retracted),
            )
            .expect(INFALLIBLE);
        }
        self.notes(&mut text);
        text
    }

    fn read(&self, text: &mut String) {
        let all: Vec<&IncidentRow> = self.rows.iter().filter(|row| row.kind == "all").collect();
        let best = all.iter().max_by(|a, b| {
            let f1 = |row: &IncidentRow| row.f1.unwrap_or_default();
            f1(a).total_cmp(&f1(b))
        });
        let Some(best) = best else { return };
        write!(text, "By F1 of events, `{}` wins with {:.3}", best.model, best.f1.unwrap_or(0.0))
            .expect(INFALLIBLE);
        for row in all.iter().filter(|row| row.model != best.model) {
            write!(text, ", `{}` has {:.3}", row.model, row.f1.unwrap_or(0.0)).expect(INFALLIBLE);
        }
        text.push_str(".\n");
    }

    fn notes(&self, text: &mut String) {
        let IncidentConfig { accounts, days, calm } = self.config;
        write!(
            text,
            "\n## How\n\n\
             - {accounts} simulated accounts of nine services over {days} days (seed {}), none with an \
             incident in the first {calm}. Services differ in size, pattern of the week, growth and \
             noise; one differs widely by nature; half of the accounts pay a fee on the first of each \
             month. An incident is of one service and region: a multiple for a day or two, from a day \
             on, growing for ten days, or a day's bill charged twice and corrected three to nine days \
             later.\n\
             - The detector's settings are the defaults of `[stream.anomaly]`, chosen before any of these \
             bills was looked at. Real bills are stranger than simulated ones.\n\
             - An alert is a run of strange days, all above or all below. It is right where one of its \
             days falls into an incident (of a step its first week, of a ramp its first two); every \
             incident counts once, and nothing is adjusted.\n\
             - service first, region first: of the incidents found, the share whose cause is ranked \
             first on the alert's first day (of doubled bills no region is). retracted in time: of the doubled bills found, the share \
             whose anomaly was retracted in the very epoch that brought the correction.\n\
             - `mean-3-sigma-28d`: the account's total against mean and deviation of the 28 days \
             before. `same-weekday-30pct`: against the same day of the week before. They name no \
             cause and retract nothing.\n",
            self.options.seed
        )
        .expect(INFALLIBLE);
    }

    /// Writes `cost-incidents.md` and `cost-incidents.json` into a directory, made if need be.
    ///
    /// # Errors
    /// [`crate::Error::File`] when a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let files =
            [("cost-incidents.md", self.to_markdown()), ("cost-incidents.json", self.to_json())];
        files::write(dir, files)
    }
}
