//! The table in sentences, derived from the figures alone.
//!
//! Nobody writes these by hand, so that a report cannot claim more than its
//! rows say; where a plain baseline wins, the sentence that says so comes out.

use std::fmt::Write;

use super::files::INFALLIBLE;
use super::row::{Figures, MEAN, Row};

/// Figures nearer than this are called level.
const LEVEL: f64 = 0.01;

/// One paragraph a set, in the order of the rows.
#[must_use]
pub fn read(rows: &[Row]) -> Vec<String> {
    rows.chunk_by(|a, b| a.set == b.set).map(read_set).collect()
}

fn read_set(rows: &[Row]) -> String {
    let mut text = format!("**{}.** ", rows[0].set);
    let ranked_by =
        |name: &'static str, of: fn(&Figures) -> Option<f64>| Ranking::new(rows, name, of);
    let main = [
        ranked_by("VUS-PR", |f| f.vus_pr),
        ranked_by("AUROC of near-failure against healthy", |f| f.auroc),
    ];
    for ranking in main.iter().flatten() {
        text.push_str(&ranking.winner());
        text.push_str(&ranking.wins(rows));
        text.push_str(&ranking.learned_against_plain());
    }
    text.push_str(&ablation(rows));
    for ranking in [ranked_by("AUPRC", |f| f.auprc), ranked_by("Event-wise F1", |f| f.event_f1)] {
        text.push_str(&ranking.map(|r| r.winner()).unwrap_or_default());
    }
    text.push_str(&false_alarms(rows));
    if let Some(ranking) = ranked_by("HitRate@100 (attribution)", |f| f.hit_rate_100) {
        text.push_str(&ranking.winner());
        let (best, value) = ranking.means[0];
        write!(
            text,
            "Ranking channels by `{best}` names {:.0} % of the channels at fault. ",
            100.0 * value
        )
        .expect(INFALLIBLE);
    }
    text.push_str(&lead_times(rows));
    text.trim_end().to_owned()
}

/// Models by their mean of one figure, best first.
struct Ranking<'a> {
    name: &'a str,
    of: fn(&Figures) -> Option<f64>,
    means: Vec<(&'a str, f64)>,
}

impl<'a> Ranking<'a> {
    /// `None` where no mean row has the figure.
    fn new(rows: &'a [Row], name: &'a str, of: fn(&Figures) -> Option<f64>) -> Option<Self> {
        let mut means: Vec<(&str, f64)> = rows
            .iter()
            .filter(|row| row.entity == MEAN)
            .filter_map(|row| Some((row.model.as_str(), of(&row.figures)?)))
            .collect();
        means.sort_by(|a, b| b.1.total_cmp(&a.1));
        (!means.is_empty()).then_some(Self { name, of, means })
    }

    fn winner(&self) -> String {
        let (best, value) = self.means[0];
        match self.means.get(1) {
            None => format!("{}: `{best}` {value:.3}. ", self.name),
            Some((second, next)) if value - next < LEVEL => {
                format!("{}: `{best}` {value:.3} and `{second}` {next:.3} are level. ", self.name)
            }
            Some((second, next)) => {
                format!("{}: `{best}` wins with {value:.3}, then `{second}` {next:.3}. ", self.name)
            }
        }
    }

    /// On how many entities the model with the best mean is also the best.
    fn wins(&self, rows: &[Row]) -> String {
        let best_mean = self.means[0].0;
        let (mut entities, mut wins) = (0, 0);
        let single: Vec<&Row> = rows.iter().filter(|row| row.entity != MEAN).collect();
        for of_entity in single.chunk_by(|a, b| a.entity == b.entity) {
            let best = of_entity
                .iter()
                .filter_map(|row| Some((row.model.as_str(), (self.of)(&row.figures)?)))
                .reduce(|a, b| if b.1 > a.1 { b } else { a });
            if let Some((model, _)) = best {
                entities += 1;
                wins += usize::from(model == best_mean);
            }
        }
        if entities < 2 {
            return String::new();
        }
        format!("It is first on {wins} of {entities} entities. ")
    }

    /// The best model learned by gradients against the best that is not.
    fn learned_against_plain(&self) -> String {
        let best = |learned: bool| {
            self.means.iter().find(|(model, _)| model.starts_with("vae") == learned).copied()
        };
        let (Some((vae, a)), Some((plain, b))) = (best(true), best(false)) else {
            return String::new();
        };
        if (a - b).abs() < LEVEL {
            format!(
                "The better VAE (`{vae}` {a:.3}) does no better than the better plain baseline (`{plain}` {b:.3}). "
            )
        } else if a > b {
            format!(
                "The better VAE (`{vae}`) is ahead of the better plain baseline (`{plain}`) by {:.3}. ",
                a - b
            )
        } else {
            format!(
                "A plain baseline is the better detector here: `{plain}` is ahead of the better VAE (`{vae}`) by {:.3}. ",
                b - a
            )
        }
    }
}

/// What the score of each VAE owes to its parts.
fn ablation(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows.iter().filter(|row| row.entity == MEAN) {
        let Figures { vus_pr, vus_pr_reconstruction, vus_pr_kl, .. } = row.figures;
        if let (Some(both), Some(error), Some(kl)) = (vus_pr, vus_pr_reconstruction, vus_pr_kl) {
            let verdict = match both - error {
                gain if gain >= LEVEL => "the KL divergence adds to it",
                gain if gain <= -LEVEL => "the KL divergence takes from it",
                _ => "the KL divergence makes no difference",
            };
            write!(
                text,
                "Of `{}`'s {both:.3}, reconstruction alone gives {error:.3} and KL alone {kl:.3}: {verdict}. ",
                row.model
            )
            .expect(INFALLIBLE);
        }
    }
    text
}

fn mean_range(rows: &[Row], of: fn(&Figures) -> Option<f64>) -> Option<(f64, f64)> {
    let means = rows.iter().filter(|row| row.entity == MEAN).filter_map(|row| of(&row.figures));
    means.fold(None, |range: Option<(f64, f64)>, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

fn false_alarms(rows: &[Row]) -> String {
    let percent = |(low, high): (f64, f64)| format!("{:.2}–{:.2} %", 100.0 * low, 100.0 * high);
    let (Some(fixed), Some(adaptive)) =
        (mean_range(rows, |f| f.fpr_static), mean_range(rows, |f| f.fpr_adaptive))
    else {
        return String::new();
    };
    format!(
        "Realised false-positive rate, over the models: static threshold {}, adaptive {}. ",
        percent(fixed),
        percent(adaptive)
    )
}

fn lead_times(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows.iter().filter(|row| row.entity == MEAN) {
        if let (Some(lead), Some(detected)) = (row.figures.lead_time_cycles, row.figures.detected) {
            write!(
                text,
                "`{}` alarms on {:.0} % of the engines, {lead:.0} cycles before failure (median). ",
                row.model,
                100.0 * detected
            )
            .expect(INFALLIBLE);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::row::with_means;

    fn rows(of: &[(&str, &str, f64)]) -> Vec<Row> {
        let row = |&(entity, model, value): &(&str, &str, f64)| Row {
            set: "smd".to_owned(),
            entity: entity.to_owned(),
            model: model.to_owned(),
            figures: Figures { vus_pr: Some(value), ..Figures::default() },
        };
        with_means(of.iter().map(row).collect())
    }

    #[test]
    fn a_winning_baseline_is_said_to_win() {
        let text = &read(&rows(&[
            ("a", "vae-cnn", 0.3),
            ("a", "pca", 0.2),
            ("b", "vae-cnn", 0.3),
            ("b", "pca", 0.9),
        ]))[0];
        assert!(text.contains("`pca` wins with 0.550"), "{text}");
        assert!(text.contains("first on 1 of 2"), "{text}");
        assert!(text.contains("A plain baseline is the better detector"), "{text}");
    }

    #[test]
    fn small_differences_are_level() {
        let text = &read(&rows(&[("a", "vae-cnn", 0.301), ("a", "pca", 0.3)]))[0];
        assert!(text.contains("are level"), "{text}");
        assert!(text.contains("no better than"), "{text}");
    }
}
