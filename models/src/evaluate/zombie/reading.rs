//! The figures in sentences, all of them derived: also where a baseline wins.

use super::shipped::SHIPPED;
use super::{ALL, ZombieRow};

/// The model that is measured.
const OURS: &str = "forest";

/// A paragraph for each set.
pub(super) fn read(rows: &[ZombieRow]) -> Vec<String> {
    let all: Vec<&ZombieRow> = rows.iter().filter(|row| row.kind == ALL).collect();
    let sets = all.chunk_by(|a, b| a.set == b.set);
    let paragraph = |of_set: &[&ZombieRow]| {
        let Some(ours) = of_set.iter().find(|row| row.model == OURS) else { return String::new() };
        let mut text = format!("**{}.** ", ours.set);
        if let (Some(precision), Some(lower), Some(recall)) =
            (ours.precision, ours.precision_lower, ours.recall)
        {
            text += &format!(
                "Of {} resources the forest names {}, {precision:.3} of them rightly (at least {lower:.3} \
                 with 95 % confidence), and finds {recall:.3} of {}; one resource is {:.4} of recall. ",
                ours.resources,
                ours.flagged,
                ours.positives,
                1.0 / ours.positives as f64
            );
        }
        // At action thresholds the forest is meant to name fewer.
        let is_forest =
            |row: &ZombieRow| [OURS, SHIPPED].iter().any(|of| row.model.starts_with(of));
        let others: Vec<&ZombieRow> =
            of_set.iter().copied().filter(|row| !is_forest(row)).collect();
        text += &comparisons(ours, &others);
        text += &calibration(ours);
        text += &shipped(of_set, ours);
        text += &hard_negatives(of_set);
        text
    };
    sets.map(paragraph).map(|text| text.trim_end().to_owned()).collect()
}

/// One figure of a row.
type Figure = fn(&ZombieRow) -> Option<f64>;

/// What models are compared by: name, figure, and whether more is better.
const FIGURES: [(&str, Figure, bool); 3] = [
    ("F1", |row| row.f1, true),
    ("average precision", |row| row.average_precision, true),
    ("Brier score", |row| row.brier, false),
];

/// Who is best by F1, average precision and Brier score.
fn comparisons(ours: &ZombieRow, others: &[&ZombieRow]) -> String {
    let sentence = |(name, of, more): &(&str, Figure, bool)| {
        let ours = of(ours)?;
        let known = others.iter().filter_map(|row| Some((row.model.as_str(), of(row)?)));
        let sign = if *more { 1.0 } else { -1.0 };
        let (model, best) = known.max_by(|a, b| (sign * a.1).total_cmp(&(sign * b.1)))?;
        Some(match (sign * ours).total_cmp(&(sign * best)) {
            std::cmp::Ordering::Greater => {
                format!("By {name} the forest wins, {ours:.3} against {best:.3} of `{model}`. ")
            }
            std::cmp::Ordering::Equal => {
                format!("By {name} the forest and `{model}` are level at {ours:.3}. ")
            }
            std::cmp::Ordering::Less => {
                format!("By {name} the baseline `{model}` wins, {best:.3} against {ours:.3}. ")
            }
        })
    };
    FIGURES.iter().filter_map(sentence).collect()
}

fn calibration(ours: &ZombieRow) -> String {
    let (Some(after), Some(before)) = (ours.calibration_error, ours.calibration_error_raw) else {
        return String::new();
    };
    let verb = if after < before { "lowers" } else { "does not lower" };
    format!(
        "Calibration {verb} the expected calibration error: {before:.3} before, {after:.3} after. "
    )
}

/// The forest that ships, beside the one learned from the set's own past and the best of the rules.
fn shipped(rows: &[&ZombieRow], ours: &ZombieRow) -> String {
    let Some(shipped) = rows.iter().find(|row| row.model == SHIPPED) else { return String::new() };
    let is_rule = |row: &ZombieRow| row.model.starts_with("rule") || row.model == "persistence";
    let compared = |(name, of, more): &(&str, Figure, bool)| {
        let sign = if *more { 1.0 } else { -1.0 };
        let value = of(shipped)?;
        let against = |other: f64| match (sign * value).total_cmp(&(sign * other)) {
            std::cmp::Ordering::Greater => "better than",
            std::cmp::Ordering::Equal => "level with",
            std::cmp::Ordering::Less => "worse than",
        };
        let own = of(ours)?;
        let rules = rows.iter().filter(|row| is_rule(row));
        let rules = rules.filter_map(|row| Some((row.model.as_str(), of(row)?)));
        let (rule, best) = rules.max_by(|a, b| (sign * a.1).total_cmp(&(sign * b.1)))?;
        Some(format!(
            "by {name} {value:.3}, {} {own:.3} of `{OURS}` and {} {best:.3} of `{rule}`",
            against(own),
            against(best)
        ))
    };
    let figures: Vec<String> = FIGURES.iter().filter_map(compared).collect();
    format!(
        "The forest that ships, `{SHIPPED}`, has learned from simulated fleets alone and nothing from this \
         set; beside the forest learned here and the best of the rules it is {}. ",
        figures.join("; ")
    )
}

fn hard_negatives(rows: &[&ZombieRow]) -> String {
    let counted: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let (named, hard) = (row.hard_negatives_flagged?, row.hard_negatives?);
            let recall = row.recall.unwrap_or_default();
            Some(format!("`{}` {named} of {hard} (recall {recall:.3})", row.model))
        })
        .collect();
    if counted.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "Resources in use that look idle and would be terminated: {}. ",
        counted.join(", ")
    );
    let safe: Vec<&&ZombieRow> =
        rows.iter().filter(|row| row.hard_negatives_flagged == Some(0)).collect();
    let most = safe.iter().filter_map(|row| row.recall).fold(0.0, f64::max);
    let best: Vec<String> = safe
        .iter()
        .filter(|row| row.recall == Some(most))
        .map(|row| format!("`{}`", row.model))
        .collect();
    match safe.first() {
        None => text += "None of them names none.",
        Some(row) => {
            let upper = row.hard_negatives_upper.unwrap_or(1.0);
            text += &format!(
                "Of those that name none (which leaves up to {upper:.4} of such resources, with 95 % \
                 confidence), the highest recall is {most:.3}, of {}.",
                best.join(" and ")
            );
            if best.len() > 1 && best.iter().any(|model| model.starts_with("`rule")) {
                text += " There the evidence decides: a rule does as well as the forest.";
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(model: &str, f1: f64) -> ZombieRow {
        ZombieRow {
            set: "set".to_owned(),
            model: model.to_owned(),
            kind: ALL.to_owned(),
            resources: 10,
            positives: 4,
            threshold: None,
            flagged: 5,
            precision: Some(0.6),
            precision_lower: Some(0.2),
            recall: Some(0.75),
            f1: Some(f1),
            average_precision: Some(0.5),
            brier: Some(1.0 - f1),
            calibration_error: Some(0.1),
            brier_raw: None,
            calibration_error_raw: Some(0.05),
            hard_negatives: Some(3),
            hard_negatives_flagged: Some(1),
            hard_negatives_upper: Some(0.8),
        }
    }

    #[test]
    fn the_forest_that_ships_is_compared_and_no_baseline() {
        let rows =
            [row(OURS, 0.7), row("persistence", 0.5), row("rule-idle", 0.6), row(SHIPPED, 0.65)];
        let text = read(&rows).join("\n");
        assert!(
            text.contains("By F1 the forest wins, 0.700 against 0.600 of `rule-idle`"),
            "{text}"
        );
        let expected =
            "by F1 0.650, worse than 0.700 of `forest` and better than 0.600 of `rule-idle`";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("by Brier score 0.350, worse than 0.300"), "{text}");
        assert!(!read(&rows[..3]).join("\n").contains(SHIPPED));
    }

    #[test]
    fn it_says_where_a_baseline_wins() {
        let text = read(&[row(OURS, 0.7), row("persistence", 0.8)]).join("\n");
        assert!(
            text.contains("By F1 the baseline `persistence` wins, 0.800 against 0.700"),
            "{text}"
        );
        assert!(text.contains("By average precision the forest and `persistence` are level"));
        assert!(text.contains("By Brier score the baseline `persistence` wins, 0.200"));
        assert!(text.contains("does not lower") && text.contains("1 of 3 (recall 0.750)"));
        assert!(
            read(&[row(OURS, 0.9), row("persistence", 0.8)])[0].contains("By F1 the forest wins")
        );
    }
}
