//! A cost evaluation as a Markdown report, as JSON and as charts.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::super::files::{self, INFALLIBLE, array};
use super::reading::read;
use super::row::{CostRow, means};
use super::{ChampionRow, MONTH_DAYS};
use crate::Result;
use crate::evaluate::plot::Bars;

/// What a cost evaluation found.
#[derive(Debug, Clone, PartialEq)]
pub struct CostEvaluation {
    /// One row for each set, series, model and horizon.
    pub rows: Vec<CostRow>,
    /// One row for each set, series and origin of the 30-day horizon.
    pub champions: Vec<ChampionRow>,
    /// How it was set up: what a reader must know to judge the figures.
    pub notes: Vec<String>,
    /// The command that gives the same table.
    pub command: String,
}

impl CostEvaluation {
    /// The rows as a JSON array.
    #[must_use]
    pub fn to_json(&self) -> String {
        array(&self.rows)
    }

    /// The choices as a JSON array.
    #[must_use]
    pub fn champions_to_json(&self) -> String {
        array(&self.champions)
    }

    /// The report: reading, means, set-up, then every series.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = String::from(
            "# Forecasts of cost\n\n\
             Generated, never typed; the sentences too are derived from the figures. The command:\n\n",
        );
        write!(text, "```sh\n{}\n```\n\n## Reading\n\n", self.command).expect(INFALLIBLE);
        text.push_str("Account-month error (wape_total), mean over a set's series:\n\n");
        for paragraph in read(&self.rows) {
            write!(text, "{paragraph}\n\n").expect(INFALLIBLE);
        }
        text.push_str("## Means over each set's series\n\n");
        text.push_str(&table(&means(&self.rows)));
        let (file, _) = self.chart();
        write!(text, "\n![{file}]({file})\n\n## How\n\n").expect(INFALLIBLE);
        for note in &self.notes {
            writeln!(text, "- {note}").expect(INFALLIBLE);
        }
        text.push_str("\n## Every series\n");
        for of_set in self.rows.chunk_by(|a, b| a.set == b.set) {
            write!(text, "\n### {}\n\n", of_set[0].set).expect(INFALLIBLE);
            text.push_str(&table(of_set));
        }
        text
    }

    /// The account-month error a month ahead, as file name and chart.
    #[must_use]
    pub fn chart(&self) -> (String, Bars) {
        let means = means(&self.rows);
        let bars: Vec<(&str, &str, f64)> = means
            .iter()
            .filter(|row| row.horizon_days == MONTH_DAYS)
            .map(|row| (row.set.as_str(), row.model.as_str(), row.wape_total))
            .collect();
        let title = "Account-month error (wape_total), 30 days ahead, mean over the set's series";
        ("cost-wape-total.svg".to_owned(), Bars::of(title, &bars))
    }

    /// Writes `cost.md`, `cost.json`, `cost-champions.json` and the chart into a directory, made if
    /// need be.
    ///
    /// # Errors
    /// [`crate::Error::File`] when a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let (chart, bars) = self.chart();
        let files = [
            ("cost.md".to_owned(), self.to_markdown()),
            ("cost.json".to_owned(), self.to_json()),
            ("cost-champions.json".to_owned(), self.champions_to_json()),
            (chart, bars.to_svg()),
        ];
        files::write(dir, files)
    }
}

fn table(rows: &[CostRow]) -> String {
    let mut text = String::from(
        "| set | series | model | horizon (days) | origins | wape_total | wape_daily | mase \
         | coverage_80 | bias |\n|---|---|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let mase = row.mase.map(|mase| format!("{mase:.2}")).unwrap_or_default();
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {:.3} | {:.3} | {mase} | {:.2} | {:+.3} |",
            row.set,
            row.series,
            row.model,
            row.horizon_days,
            row.origins,
            row.wape_total,
            row.wape_daily,
            row.coverage_80,
            row.bias,
        )
        .expect(INFALLIBLE);
    }
    text
}
