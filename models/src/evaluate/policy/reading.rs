//! The figures in sentences, all of them derived: also where a rule wins.

use super::logged::LoggedRow;
use super::{Figure, LEVEL, PolicyRow};

/// Models that are learned.
const LEARNED: [&str; 2] = ["q-table", "q-network"];

/// Who costs less where both violate alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Winner {
    /// What is learned: all of the ratio's 95 % interval lies below 1, or every rule violates more.
    Learned,
    /// The cheapest rule: all of the interval lies above 1, or what is learned violates more.
    Rule,
    /// The interval holds 1, or both violate more.
    Neither,
}

impl Winner {
    fn of(row: &PolicyRow) -> Self {
        match (row.cost, &row.rule) {
            (Some(_), None) => Self::Learned,
            (None, Some(_)) => Self::Rule,
            (None, None) => Self::Neither,
            _ if row.ratio_high.is_some_and(|high| high < 1.0) => Self::Learned,
            _ if row.ratio_low.is_some_and(|low| low > 1.0) => Self::Rule,
            _ => Self::Neither,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Learned => "it wins",
            Self::Rule => "the rule wins",
            Self::Neither => "neither wins",
        }
    }
}

/// A learned policy's rows where violations are equal.
fn learned<'a>(rows: &'a [PolicyRow], model: &'a str) -> impl Iterator<Item = &'a PolicyRow> {
    rows.iter().filter(move |row| row.figure == Figure::Equal && row.model == model)
}

/// What [`LEVEL`] says of a learned policy.
fn sentence(row: &PolicyRow) -> String {
    let model = &row.model;
    let spread = row.spread.map(|spread| format!(" ± {spread:.3}")).unwrap_or_default();
    let end = |end: Option<f64>| end.map_or("none".to_owned(), |end| format!("{end:.3}"));
    let winner = Winner::of(row).words();
    match (row.cost, &row.rule, row.ratio) {
        (None, Some(rule), _) => format!(
            "`{model}` violates more than that with some seed, whatever a violation is worth; `{rule}` does not: \
             {winner}. "
        ),
        (None, None, _) => {
            format!("`{model}` violates more than that, and so does every rule: {winner}. ")
        }
        (Some(cost), Some(rule), Some(ratio)) => format!(
            "`{model}` costs {cost:.3}{spread}, {ratio:.3} of the cheapest rule, `{rule}` (95 % interval {} to \
             {}): {winner}. ",
            end(row.ratio_low),
            end(row.ratio_high)
        ),
        (Some(cost), ..) => {
            format!("`{model}` costs {cost:.3}{spread}; every rule violates more: {winner}. ")
        }
    }
}

/// A paragraph for each set, and one for what follows.
pub(super) fn read(rows: &[PolicyRow]) -> Vec<String> {
    let mut paragraphs = Vec::new();
    for of_set in rows.chunk_by(|a, b| a.set == b.set) {
        let level = 100.0 * LEVEL;
        let mut text =
            format!("**{}**, where all violate {level:.0} % of the steps. ", of_set[0].set);
        for model in LEARNED {
            learned(of_set, model)
                .filter(|row| row.at == LEVEL)
                .for_each(|row| text += &sentence(row));
            let others: Vec<String> = learned(of_set, model)
                .filter(|row| row.at != LEVEL)
                .map(|row| format!("at {} % {}", 100.0 * row.at, Winner::of(row).words()))
                .collect();
            if !others.is_empty() {
                text += &format!("For `{model}`, {}. ", others.join(", "));
            }
        }
        paragraphs.push(text.trim_end().to_owned());
    }
    let ships = LEARNED.map(|model| {
        let count = |winner: Winner| {
            learned(rows, model).filter(|row| row.at == LEVEL && Winner::of(row) == winner).count()
        };
        let of = learned(rows, model).filter(|row| row.at == LEVEL).count();
        let (won, lost) = (count(Winner::Learned), count(Winner::Rule));
        match won == of && of > 0 {
            true => format!("`{model}` wins on all {of} sets: it may decide by itself. "),
            false => format!(
                "`{model}` wins on {won} of {of} sets and loses to a rule on {lost}: it is an adviser, whose word \
                 a rule or a person confirms. "
            ),
        }
    });
    let level = 100.0 * LEVEL;
    paragraphs.push(format!("At {level:.0} %: {}", ships.concat().trim_end()));
    paragraphs
}

/// How far the estimates from logs are from the truth: a sentence for each estimator, over all logs.
pub(super) fn read_logged(rows: &[&LoggedRow]) -> String {
    let mut estimators: Vec<&str> = Vec::new();
    for row in rows {
        if !estimators.contains(&&*row.estimator) {
            estimators.push(&row.estimator);
        }
    }
    let mut text = String::new();
    let mut nearest = (f64::INFINITY, "");
    for estimator in &estimators {
        let of = || rows.iter().filter(|row| row.estimator == *estimator);
        let mut off: Vec<f64> = of()
            .filter_map(|row| Some(row.off? / row.truth))
            .filter(|off| off.is_finite())
            .collect();
        off.sort_by(f64::total_cmp);
        let Some(median) = off.get(off.len() / 2) else { continue };
        if *median < nearest.0 {
            nearest = (*median, *estimator);
        }
        text += &format!(
            "`{estimator}` is off by {:.1} % of the truth in the median log, and by {:.1} % in the worst. ",
            100.0 * median,
            100.0 * off.last().copied().unwrap_or_default()
        );
    }
    if !nearest.1.is_empty() {
        text += &format!("Nearest in the median is `{}`.", nearest.1);
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(
        set: &str,
        model: &str,
        cost: Option<f64>,
        against: Option<(&str, [f64; 3])>,
    ) -> PolicyRow {
        PolicyRow {
            set: set.to_owned(),
            model: model.to_owned(),
            figure: Figure::Equal,
            at: LEVEL,
            seed: None,
            settings: None,
            cost,
            spread: Some(0.05),
            rule: against.map(|(rule, _)| rule.to_owned()),
            ratio: against.map(|(_, [ratio, ..])| ratio),
            ratio_low: against.map(|(_, [_, low, _])| low),
            ratio_high: against.map(|(_, [.., high])| high),
            violations: Some(LEVEL),
            unserved: None,
            changes: None,
        }
    }

    #[test]
    fn it_says_where_a_rule_wins_and_what_follows() {
        let rows = [
            row("one", "autoscaler", Some(1.4), None),
            row("one", "q-table", Some(1.2), Some(("autoscaler", [0.857, 0.8, 0.9]))),
            row("one", "q-network", Some(1.39), Some(("autoscaler", [0.993, 0.9, 1.1]))),
            row("two", "threshold", Some(1.0), None),
            row("two", "q-table", Some(1.1), Some(("threshold", [1.1, 1.05, 1.2]))),
            row("two", "q-network", None, Some(("threshold", [0.0; 3]))),
            PolicyRow {
                at: 0.05,
                ..row("two", "q-network", Some(0.9), Some(("threshold", [0.9; 3])))
            },
        ];
        let text = read(&rows).join("\n");
        let says = |part: &str| assert!(text.contains(part), "{part}: {text}");
        says(
            "`q-table` costs 1.200 ± 0.050, 0.857 of the cheapest rule, `autoscaler` (95 % interval 0.800 to",
        );
        says("0.900): it wins.");
        says("1.100): neither wins.");
        says("1.200): the rule wins.");
        says(
            "`q-network` violates more than that with some seed, whatever a violation is worth; `threshold`",
        );
        says("For `q-network`, at 5 % it wins.");
        says("`q-table` wins on 1 of 2 sets and loses to a rule on 1: it is an adviser");
        says("`q-network` wins on 0 of 2 sets and loses to a rule on 1: it is an adviser");
        let won = read(&rows[..2]).join("\n");
        assert!(won.contains("`q-table` wins on all 1 sets: it may decide by itself"), "{won}");
        let alone = [row("one", "q-table", Some(1.2), None)];
        assert!(read(&alone)[0].contains("every rule violates more: it wins"));
    }

    #[test]
    fn an_estimator_is_named_with_its_distance_from_the_truth() {
        let row = |estimator: &str, off: Option<f64>| LoggedRow {
            set: "one".to_owned(),
            model: "q-table".to_owned(),
            estimator: estimator.to_owned(),
            behaviour: String::new(),
            seeds: 5,
            steps: 3,
            episodes: 10,
            effective: 3.0,
            logged: 5.0,
            estimate: Some(4.0),
            error: None,
            off,
            truth: 4.0,
        };
        let rows = [
            row("importance", Some(2.0)),
            row("fitted", Some(0.4)),
            row("importance", None),
            row("fitted", Some(0.8)),
        ];
        let text = read_logged(&rows.iter().collect::<Vec<_>>());
        assert!(
            text.contains("`importance` is off by 50.0 % of the truth in the median log"),
            "{text}"
        );
        assert!(
            text.contains(
                "`fitted` is off by 20.0 % of the truth in the median log, and by 20.0 %"
            )
        );
        assert!(text.ends_with("Nearest in the median is `fitted`."), "{text}");
    }
}
