//! The figures in sentences, all of them derived: also where a rule wins.

use super::{Figure, LEVEL, PolicyRow};

/// What is learned.
pub(super) const LEARNED: [&str; 2] = ["q-table", "q-network"];

/// How a learned policy compares with the rules on a set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict<'a> {
    pub(super) model: &'a str,
    cost: Option<f64>,
    spread: f64,
    /// The cheapest rule where all violate [`LEVEL`], and what it costs.
    rule: Option<(&'a str, f64)>,
}

impl Verdict<'_> {
    /// Whether it costs less than every rule, by more than twice its spread over the seeds.
    pub(super) fn beats(&self) -> bool {
        match (self.cost, self.rule) {
            (Some(cost), Some((_, rule))) => cost + 2.0 * self.spread < rule,
            (cost, rule) => cost.is_some() && rule.is_none(),
        }
    }

    fn sentence(&self) -> String {
        let Self { model, cost, spread, rule } = self;
        match (cost, rule) {
            (None, _) => {
                format!("`{model}` violates more than that whatever a violation is worth. ")
            }
            (Some(cost), None) => {
                format!("`{model}` costs {cost:.3}; every rule violates more. ")
            }
            (Some(cost), Some((rule, least))) => {
                let saved = 100.0 * (1.0 - cost / least);
                let verdict = match (self.beats(), cost < least) {
                    (true, _) => {
                        format!("{saved:.1} % less than the cheapest rule, `{rule}` ({least:.3})")
                    }
                    (false, true) => format!(
                        "level with the cheapest rule, `{rule}` ({least:.3}): within twice the spread"
                    ),
                    (false, false) => format!(
                        "{:.1} % more than the cheapest rule, `{rule}` ({least:.3})",
                        -saved
                    ),
                };
                format!("`{model}` costs {cost:.3} ± {spread:.3}, {verdict}. ")
            }
        }
    }
}

/// The verdicts on one set's rows.
pub(super) fn verdicts<'a>(of_set: &[&'a PolicyRow]) -> Vec<Verdict<'a>> {
    let equal = |row: &&&PolicyRow| row.figure == Figure::Equal && row.at == LEVEL;
    let rule = of_set
        .iter()
        .filter(equal)
        .filter(|row| !LEARNED.contains(&&*row.model))
        .filter_map(|row| Some((row.model.as_str(), row.cost?)))
        .min_by(|a, b| a.1.total_cmp(&b.1));
    let learned = of_set.iter().filter(equal).filter(|row| LEARNED.contains(&&*row.model));
    learned
        .map(|row| Verdict {
            model: &row.model,
            cost: row.cost,
            spread: row.spread.unwrap_or(0.0),
            rule,
        })
        .collect()
}

/// A paragraph for each set, and one for what follows.
pub(super) fn read(rows: &[PolicyRow]) -> Vec<String> {
    let all: Vec<&PolicyRow> = rows.iter().collect();
    let mut paragraphs = Vec::new();
    let mut beaten = LEARNED.map(|model| (model, 0, 0));
    for of_set in all.chunk_by(|a, b| a.set == b.set) {
        let mut text = format!(
            "**{}**, where all violate {:.0} % of the steps. ",
            of_set[0].set,
            100.0 * LEVEL
        );
        for verdict in verdicts(of_set) {
            text += &verdict.sentence();
            for (model, won, of) in &mut beaten {
                if *model == verdict.model {
                    *of += 1;
                    *won += usize::from(verdict.beats());
                }
            }
        }
        paragraphs.push(text.trim_end().to_owned());
    }
    let ships = beaten.map(|(model, won, of)| match won == of {
        true => format!("`{model}` beats every rule on all {of} sets: it may decide by itself. "),
        false => format!(
            "`{model}` beats every rule on {won} of {of} sets: it ships as an adviser, whose word a rule or \
             a person confirms. "
        ),
    });
    paragraphs.push(ships.concat().trim_end().to_owned());
    paragraphs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(set: &str, model: &str, cost: Option<f64>, spread: Option<f64>) -> PolicyRow {
        PolicyRow {
            set: set.to_owned(),
            model: model.to_owned(),
            figure: Figure::Equal,
            at: LEVEL,
            seed: None,
            settings: None,
            cost,
            spread,
            violations: Some(LEVEL),
            unserved: None,
            changes: None,
        }
    }

    #[test]
    fn it_says_where_a_rule_wins_and_what_follows() {
        let rows = [
            row("one", "threshold", Some(1.5), None),
            row("one", "autoscaler", Some(1.4), None),
            row("one", "q-table", Some(1.2), Some(0.05)),
            row("one", "q-network", Some(1.39), Some(0.05)),
            row("two", "threshold", Some(1.0), None),
            row("two", "q-table", Some(1.1), Some(0.01)),
            row("two", "q-network", None, None),
        ];
        let text = read(&rows).join("\n");
        assert!(
            text.contains("14.3 % less than the cheapest rule, `autoscaler` (1.400)"),
            "{text}"
        );
        assert!(text.contains("`q-network` costs 1.390 ± 0.050, level with"), "{text}");
        assert!(text.contains("10.0 % more than the cheapest rule, `threshold`"), "{text}");
        assert!(text.contains("`q-network` violates more than that"), "{text}");
        assert!(text.contains("`q-table` beats every rule on 1 of 2 sets: it ships as an adviser"));
        let won = read(&rows[..3]).join("\n");
        assert!(won.contains("`q-table` beats every rule on all 1 sets"), "{won}");
    }
}
