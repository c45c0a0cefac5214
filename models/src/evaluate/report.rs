//! An evaluation as a Markdown report, as JSON and as charts.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::files::{self, INFALLIBLE, array};
use super::plot::Bars;
use super::reading::read;
use super::row::{Figures, MEAN, Row};
use crate::Result;

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// One row for each set, entity and model, and behind each set's the means by model.
    pub rows: Vec<Row>,
    /// How it was set up: what a reader must know to judge the figures.
    pub notes: Vec<String>,
    /// The command that gives the same table.
    pub command: String,
}

/// A figure of a row.
type Figure = fn(&Figures) -> Option<f64>;

type Column = (&'static str, Figure);

const COLUMNS: [Column; 19] = [
    ("VUS-PR", |f| f.vus_pr),
    ("…reconstruction alone", |f| f.vus_pr_reconstruction),
    ("…KL alone", |f| f.vus_pr_kl),
    ("AUPRC", |f| f.auprc),
    ("event F1", |f| f.event_f1),
    ("F1 static", |f| f.event_f1_static),
    ("F1 adaptive", |f| f.event_f1_adaptive),
    ("FPR", |f| f.fpr),
    ("FPR static", |f| f.fpr_static),
    ("FPR adaptive", |f| f.fpr_adaptive),
    ("false episodes/day", |f| f.false_episodes_per_day),
    ("HitRate@100", |f| f.hit_rate_100),
    ("HitRate@150", |f| f.hit_rate_150),
    ("AUROC", |f| f.auroc),
    ("detected", |f| f.detected),
    ("lead time (cycles)", |f| f.lead_time_cycles),
    ("detected static", |f| f.detected_static),
    ("lead time static (cycles)", |f| f.lead_time_cycles_static),
    ("events", |f| f.events),
];

impl Evaluation {
    /// The rows as a JSON array, figures that do not apply absent.
    #[must_use]
    pub fn to_json(&self) -> String {
        array(&self.rows)
    }

    /// The report: reading, means, set-up, then every entity.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = String::from(
            "# Detection on real sensor data\n\n\
             Generated, never typed; the sentences too are derived from the figures. The command:\n\n",
        );
        write!(text, "```sh\n{}\n```\n\n## Reading\n\n", self.command).expect(INFALLIBLE);
        for paragraph in read(&self.rows) {
            write!(text, "{paragraph}\n\n").expect(INFALLIBLE);
        }
        text.push_str("## Means over each set's entities\n\n");
        let means: Vec<&Row> = self.rows.iter().filter(|row| row.entity == MEAN).collect();
        text.push_str(&table(&means));
        for (file, _) in self.charts() {
            write!(text, "\n![{file}]({file})\n").expect(INFALLIBLE);
        }
        text.push_str("\n## How\n\n");
        for note in &self.notes {
            writeln!(text, "- {note}").expect(INFALLIBLE);
        }
        text.push_str("\n## Every entity\n");
        for of_set in self.rows.chunk_by(|a, b| a.set == b.set) {
            write!(text, "\n### {}\n\n", of_set[0].set).expect(INFALLIBLE);
            let single: Vec<&Row> = of_set.iter().filter(|row| row.entity != MEAN).collect();
            text.push_str(&table(&single));
        }
        text
    }

    /// File name and chart of each figure worth a picture.
    #[must_use]
    pub fn charts(&self) -> Vec<(String, Bars)> {
        let wanted: [(&str, &str, Figure); 3] = [
            ("sensor-vus-pr.svg", "VUS-PR, mean over the set's entities", |f| f.vus_pr),
            ("sensor-event-f1.svg", "Event-wise F1 at the calibrated threshold", |f| f.event_f1),
            ("sensor-hit-rate.svg", "HitRate@100 % of the channel ranking", |f| f.hit_rate_100),
        ];
        wanted
            .into_iter()
            .filter_map(|(file, title, of)| Some((file.to_owned(), self.chart(title, of)?)))
            .collect()
    }

    /// Writes `sensor.md`, `sensor.json` and the charts into a directory, made if need be.
    ///
    /// # Errors
    /// [`crate::Error::File`] when a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let mut files = vec![
            ("sensor.md".to_owned(), self.to_markdown()),
            ("sensor.json".to_owned(), self.to_json()),
        ];
        files.extend(self.charts().into_iter().map(|(file, chart)| (file, chart.to_svg())));
        files::write(dir, files)
    }

    /// `None` where no set has the figure.
    fn chart(&self, title: &str, of: Figure) -> Option<Bars> {
        let means = self.rows.iter().filter(|row| row.entity == MEAN);
        let bars: Vec<(&str, &str, f64)> = means
            .filter_map(|row| Some((row.set.as_str(), row.model.as_str(), of(&row.figures)?)))
            .collect();
        (!bars.is_empty()).then(|| Bars::of(title, &bars))
    }
}

/// A table of rows with the columns that at least one of them has.
fn table(rows: &[&Row]) -> String {
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|(_, of)| rows.iter().any(|row| of(&row.figures).is_some()))
        .collect();
    let mut text = String::from("| set | entity | model |");
    for (name, _) in &columns {
        write!(text, " {name} |").expect(INFALLIBLE);
    }
    text.push_str("\n|---|---|---|");
    text.push_str(&"---:|".repeat(columns.len()));
    text.push('\n');
    for row in rows {
        write!(text, "| {} | {} | {} |", row.set, row.entity, row.model).expect(INFALLIBLE);
        for (name, of) in &columns {
            write!(text, " {} |", cell(name, of(&row.figures))).expect(INFALLIBLE);
        }
        text.push('\n');
    }
    text
}

fn cell(column: &str, value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if column.starts_with("FPR") => format!("{:.2} %", 100.0 * value),
        Some(value) if column == "false episodes/day" || column.ends_with("(cycles)") => {
            format!("{value:.1}")
        }
        Some(value) if column == "events" => {
            format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Some(value) => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::row::with_means;

    fn evaluation() -> Evaluation {
        let row = |model: &str, vus_pr: f64| Row {
            set: "skab".to_owned(),
            entity: "valve1/0".to_owned(),
            model: model.to_owned(),
            figures: Figures { vus_pr: Some(vus_pr), fpr: Some(0.0123), ..Figures::default() },
        };
        Evaluation {
            rows: with_means(vec![row("vae-cnn", 0.5), row("pca", 0.25)]),
            notes: vec!["how it was done".to_owned()],
            command: "cloudops evaluate sensor --data DIR".to_owned(),
        }
    }

    #[test]
    fn the_report_has_only_columns_that_apply() {
        let text = evaluation().to_markdown();
        assert!(text.contains("| skab | mean | vae-cnn | 0.500 | 1.23 % |"), "{text}");
        assert!(text.contains("how it was done"));
        assert!(!text.contains("HitRate@100 |"));
        assert!(text.contains("sensor-vus-pr.svg") && !text.contains("sensor-hit-rate.svg"));
    }

    #[test]
    fn files_are_written_and_json_is_an_array_of_rows() {
        let dir = tempfile::tempdir().unwrap();
        let written = evaluation().write(&dir.path().join("new")).unwrap();
        assert_eq!(written.len(), 3);
        let json = std::fs::read_to_string(&written[1]).unwrap();
        let rows: Vec<Row> = serde_json::from_str(&json).unwrap();
        assert_eq!(rows, evaluation().rows);
    }
}
