//! What was played, as rows.

use super::candidates::Played;
use super::curve::{AIMS, LEVELS, Point, chosen, cost_at};
use super::interval::{Tested, ratio};
use super::{Figure, PolicyRow, logged, report};
use crate::evaluate::files::rounded;
use crate::policy::Tally;

/// What one set gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The set's name.
    pub set: String,
    /// See [`PolicyRow`].
    pub rows: Vec<PolicyRow>,
    /// Points on the test part in the order of the aims, by controller; of the first seed where there are seeds.
    pub curves: Vec<(String, Vec<Point>)>,
    /// The table learned with the first seed, at the price chosen for [`super::LEVEL`].
    pub table: Vec<report::Cell>,
    /// The network learned with the first seed, as an ONNX file.
    pub onnx: Vec<u8>,
    /// See [`logged`].
    pub logged: Vec<logged::LoggedRow>,
}

/// A controller with all its settings, played; what is learned, once for each seed.
pub(super) struct Contender {
    pub(super) model: &'static str,
    pub(super) is_learned: bool,
    pub(super) runs: Vec<(Option<u64>, Vec<Played>)>,
}

/// A contender's settings chosen for the aims, and what they cost at the levels.
struct Aimed<'a> {
    contender: &'a Contender,
    /// `[runs][aims]`
    chosen: Vec<Vec<&'a Played>>,
    /// `[runs][aims]`
    points: Vec<Vec<Point>>,
}

impl<'a> Aimed<'a> {
    fn new(contender: &'a Contender, reference: f64) -> Self {
        let of_run = |(_, played): &'a (Option<u64>, Vec<Played>)| {
            AIMS.iter().map(|aim| &played[chosen(played, *aim)]).collect()
        };
        let chosen: Vec<Vec<&Played>> = contender.runs.iter().map(of_run).collect();
        let point = |one: &&Played| Point::of(&Tally::sum(&one.tested), reference);
        let points = chosen.iter().map(|run| run.iter().map(point).collect()).collect();
        Self { contender, chosen, points }
    }

    /// The cost at a level, run by run; absent where one of them violates more whatever its settings.
    fn costs(&self, level: f64) -> Option<Vec<f64>> {
        self.points.iter().map(|points| cost_at(points, level)).collect()
    }

    fn tested(&self) -> Vec<Tested<'a>> {
        let of_run = |run: &Vec<&'a Played>| run.iter().map(|one| one.tested.as_slice()).collect();
        self.chosen.iter().map(of_run).collect()
    }
}

impl Judged {
    /// Rows and curves of the controllers; cost is given as a ratio of `reference`.
    pub(super) fn new(set: &str, contenders: &[Contender], reference: f64) -> Self {
        let all: Vec<Aimed<'_>> = contenders.iter().map(|one| Aimed::new(one, reference)).collect();
        let mut rows = Vec::new();
        for aimed in &all {
            let runs = aimed.contender.runs.iter().zip(&aimed.chosen);
            for ((seed, _), chosen) in runs {
                let of_aim = |(aim, played): (f64, &&Played)| PolicyRow {
                    seed: *seed,
                    ..tested(row(set, aimed, Figure::Aimed, aim), played, reference)
                };
                rows.extend(AIMS.into_iter().zip(chosen).map(of_aim));
            }
            for level in LEVELS {
                let mut row = row(set, aimed, Figure::Equal, level);
                row.violations = Some(level);
                if let Some(costs) = aimed.costs(level) {
                    row.cost = Some(rounded(mean(&costs)));
                    row.spread = deviation(&costs).map(rounded);
                }
                if aimed.contender.is_learned {
                    compare(&mut row, aimed, &all);
                }
                rows.push(row);
            }
        }
        let curve = |one: &Aimed<'_>| {
            let first = one.points.first().cloned().unwrap_or_default();
            (one.contender.model.to_owned(), first)
        };
        let curves = all.iter().map(curve).collect();
        let (table, onnx, logged) = (vec![], vec![], vec![]);
        Self { set: set.to_owned(), rows, curves, table, onnx, logged }
    }
}

/// A row without figures.
fn row(set: &str, aimed: &Aimed<'_>, figure: Figure, at: f64) -> PolicyRow {
    PolicyRow {
        set: set.to_owned(),
        model: aimed.contender.model.to_owned(),
        figure,
        at,
        seed: None,
        settings: None,
        cost: None,
        spread: None,
        rule: None,
        ratio: None,
        ratio_low: None,
        ratio_high: None,
        violations: None,
        unserved: None,
        changes: None,
    }
}

/// A row of what settings gave on the test part.
fn tested(row: PolicyRow, played: &Played, reference: f64) -> PolicyRow {
    let tally = Tally::sum(&played.tested);
    let point = Point::of(&tally, reference);
    PolicyRow {
        settings: Some(played.settings.clone()),
        cost: Some(rounded(point.cost)),
        violations: Some(rounded(point.violations)),
        unserved: Some(rounded(tally.unserved / tally.asked.max(1) as f64)),
        changes: Some(rounded(tally.changes as f64 / tally.steps.max(1) as f64)),
        ..row
    }
}

/// Sets a row of what is learned beside the rule that costs least at the row's level.
fn compare(row: &mut PolicyRow, learned: &Aimed<'_>, all: &[Aimed<'_>]) {
    let rules = all.iter().filter(|one| !one.contender.is_learned);
    let cheapest = rules
        .filter_map(|one| Some((one, mean(&one.costs(row.at)?))))
        .min_by(|a, b| a.1.total_cmp(&b.1));
    let Some((rule, least)) = cheapest else { return };
    row.rule = Some(rule.contender.model.to_owned());
    let Some(costs) = learned.costs(row.at) else { return };
    row.ratio = Some(rounded(mean(&costs) / least));
    if let Some(rule) = rule.tested().first() {
        let [low, high] = ratio(&learned.tested(), rule, row.at);
        (row.ratio_low, row.ratio_high) = (low.map(rounded), high.map(rounded));
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Of a sample; `None` of one value.
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A setting that costs so much and violates so many of a hundred steps, where settings are chosen and on
    /// the test part.
    fn played(settings: &str, chosen_on: (f64, usize), tested: (f64, usize)) -> Played {
        let tally = |(cost, violations)| Tally {
            steps: 100,
            asked: 100,
            cost,
            violations,
            ..Tally::default()
        };
        Played {
            settings: settings.to_owned(),
            chosen_on: tally(chosen_on),
            tested: vec![tally(tested); 3],
        }
    }

    fn contender(model: &'static str, runs: &[(f64, usize)]) -> Contender {
        // The strict setting keeps every promise, the loose one costs and violates what is given.
        let run = |(seed, loose): (usize, &(f64, usize))| {
            let all = vec![
                played("strict", (200.0, 0), (200.0, 0)),
                played("loose", (100.0, 1), *loose),
                played("cheap on the test part", (300.0, 0), (0.0, 0)),
            ];
            ((runs.len() > 1).then_some(seed as u64), all)
        };
        let runs = runs.iter().enumerate().map(run).collect::<Vec<_>>();
        Contender { model, is_learned: runs.len() > 1, runs }
    }

    #[test]
    fn what_is_learned_is_held_against_the_cheapest_rule_where_both_violate_alike() {
        let all = [
            contender("dear", &[(180.0, 1)]),
            contender("cheap", &[(120.0, 1)]),
            contender("learned", &[(90.0, 1), (110.0, 1)]),
        ];
        let judged = Judged::new("set", &all, 300.0);
        let at = |model: &str, figure, at| {
            let mut rows = judged.rows.iter();
            rows.find(|row| row.model == model && row.figure == figure && row.at == at).unwrap()
        };
        let strict = at("cheap", Figure::Aimed, 0.005);
        assert_eq!((strict.settings.as_deref(), strict.cost), (Some("strict"), Some(2.0)));
        let learned = at("learned", Figure::Equal, 0.01);
        assert_eq!((learned.cost, learned.spread), (Some(1.0), Some(0.1414)));
        assert_eq!((learned.rule.as_deref(), learned.ratio), (Some("cheap"), Some(0.8333)));
        assert_eq!((learned.ratio_low, learned.ratio_high), (Some(0.75), Some(0.9167)));
        // Half of the way from strict to loose.
        assert_eq!(at("cheap", Figure::Equal, 0.005).cost, Some(1.6));
        assert_eq!(at("cheap", Figure::Equal, 0.01).rule, None);
        assert_eq!(judged.rows.len(), (1 + 1 + 2) * AIMS.len() + 3 * LEVELS.len());
    }
}
