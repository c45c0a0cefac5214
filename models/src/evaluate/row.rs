//! The rows of an evaluation: one detector on one entity, and their means.

use serde::{Deserialize, Serialize};

/// The entity of a row that averages over a set's entities.
pub const MEAN: &str = "mean";

/// What one detector did on one entity; a figure that does not apply is absent.
///
/// All figures are shares between 0 and 1 unless their name says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The data set, e.g. `smd`.
    pub set: String,
    /// Machine, experiment or series; [`MEAN`] for the mean over those of the set.
    pub entity: String,
    /// `vae-cnn`, `vae-transformer`, `pca` or `max-abs-z`.
    pub model: String,
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
}

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The figures of a row.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        pub struct Figures {
            $($(#[$doc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $name: Option<f64>,)*
        }

        impl Figures {
            /// Name and value of every figure, present or not, in the order of the fields.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, Option<f64>)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            /// Each figure's mean over the rows that have it.
            #[must_use]
            pub fn mean(of: &[&Self]) -> Self {
                Self { $($name: mean(of.iter().filter_map(|figures| figures.$name)),)* }
            }

            /// Each figure to six decimals: more than any of them means, and written and read back
            /// without loss.
            #[must_use]
            pub fn rounded(&self) -> Self {
                Self { $($name: self.$name.map(|value| (value * 1e6).round() / 1e6),)* }
            }
        }
    };
}

figures! {
    /// Volume under the precision–recall surface, tolerances up to 100 points.
    vus_pr,
    /// VUS-PR of the reconstruction error alone: an ablation of the score of models with a KL divergence.
    vus_pr_reconstruction,
    /// VUS-PR of the KL divergence alone.
    vus_pr_kl,
    /// Average precision, point by point.
    auprc,
    /// Event-wise F1 at the default threshold policy.
    event_f1,
    /// Share of episodes that meet an event, at the default policy.
    event_precision,
    /// Share of events that meet an episode, at the default policy.
    event_recall,
    /// Event-wise F1 at the static threshold.
    event_f1_static,
    /// Event-wise F1 at the adaptive threshold.
    event_f1_adaptive,
    /// Share of unlabelled points flagged by the default policy.
    fpr,
    /// Share of unlabelled points above the static threshold.
    fpr_static,
    /// Share of unlabelled points flagged by the adaptive threshold.
    fpr_adaptive,
    /// Episodes that meet no event, per 24 hours of the series' own time, at the default policy.
    false_episodes_per_day,
    /// Channels at fault among the first 100 % of the ranking, mean over labelled segments.
    hit_rate_100,
    /// Channels at fault among the first 150 % of the ranking, mean over labelled segments.
    hit_rate_150,
    /// Separation of near-failure from healthy windows (run-to-failure sets).
    auroc,
    /// Share of engines alarmed between the healthy phase and failure, at the default policy
    /// (run-to-failure sets).
    detected,
    /// Cycles from that first alarm to failure, median over engines alarmed.
    lead_time_cycles,
    /// Share of engines alarmed by the static threshold (run-to-failure sets).
    detected_static,
    /// Cycles from the static threshold's alarm to failure, median over engines alarmed.
    lead_time_cycles_static,
    /// Number of labelled events.
    events,
    /// Number of points (or windows) judged.
    points,
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

/// Appends each set's mean rows, by model, behind the rows of its entities.
#[must_use]
pub fn with_means(rows: Vec<Row>) -> Vec<Row> {
    let mut all = Vec::with_capacity(rows.len() * 2);
    for of_set in rows.chunk_by(|a, b| a.set == b.set) {
        all.extend_from_slice(of_set);
        let mut models: Vec<&str> = Vec::new();
        for row in of_set {
            if !models.contains(&row.model.as_str()) {
                models.push(&row.model);
            }
        }
        for model in models {
            let of_model: Vec<&Figures> =
                of_set.iter().filter(|row| row.model == model).map(|row| &row.figures).collect();
            all.push(Row {
                set: of_set[0].set.clone(),
                entity: MEAN.to_owned(),
                model: model.to_owned(),
                figures: Figures::mean(&of_model).rounded(),
            });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(entity: &str, model: &str, vus_pr: Option<f64>) -> Row {
        let figures = Figures { vus_pr, fpr: Some(0.5), ..Figures::default() };
        Row { set: "smd".to_owned(), entity: entity.to_owned(), model: model.to_owned(), figures }
    }

    #[test]
    fn means_are_over_the_rows_that_have_the_figure() {
        let rows = vec![
            row("a", "pca", Some(0.2)),
            row("a", "max-abs-z", None),
            row("b", "pca", Some(0.4)),
            row("b", "max-abs-z", None),
            row("c", "pca", None),
        ];
        let all = with_means(rows);
        assert_eq!(all.len(), 7);
        assert_eq!((all[5].entity.as_str(), all[5].model.as_str()), (MEAN, "pca"));
        assert!((all[5].figures.vus_pr.unwrap() - 0.3).abs() < 1e-12);
        assert_eq!(all[6].figures.vus_pr, None);
    }

    #[test]
    fn absent_figures_are_absent_from_json() {
        let json = serde_json::to_value(row("a", "pca", None)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"set": "smd", "entity": "a", "model": "pca", "fpr": 0.5})
        );
        let back: Row = serde_json::from_value(json).unwrap();
        assert_eq!(back, row("a", "pca", None));
    }
}
