//! A day's difference from what was expected, divided among the names of every dimension.

use std::collections::BTreeMap;

use super::Rules;
use super::expectation::{Expectation, expect};
use super::unit::{Record, Scope, Unit};
use crate::account::change::{Cell, place_of};
use crate::account::history::History;
use crate::account::{amount, units};
use crate::bill::key::{COLUMNS, Symbols};
use crate::schema::cost::{CURRENCY, SERVICE, TAGS};

/// Names told of in each dimension, those that differ most; the others are one row.
const NAMES: usize = 10;

/// What one name of a dimension has to do with a day; amounts in units of 10⁻¹².
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) dimension: String,
    /// From 1 on, by how much it differs.
    pub(super) rank: i32,
    /// `None` of charges without a name in this dimension, and of several names together.
    pub(super) name: Option<String>,
    /// How many names the row is of.
    pub(super) names: i32,
    pub(super) expected: i128,
    pub(super) actual: i128,
}

impl Cause {
    pub(super) fn deviation(&self) -> i128 {
        self.actual - self.expected
    }
}

/// One name's days.
struct Share {
    name: Option<String>,
    days: Vec<f64>,
    actual: i128,
}

/// The causes of a day's difference, each dimension's in order of rank. Expected amounts of a
/// dimension sum to the record's, and actual ones to what the day comes to now.
pub(super) fn causes(
    unit: &Unit,
    (day, scope): (i32, Scope),
    record: &Record,
    rules: &Rules,
    symbols: &Symbols,
) -> Vec<Cause> {
    let service = place_of(SERVICE);
    let window = unit.window(day, rules);
    // What is told must not depend on cells that other days have, and so on what has come by now.
    let is_told = |(cell, history): &&(Cell, History)| {
        scope.service().is_none_or(|wanted| cell[service] == wanted)
            && history.is_known_within(window.first..day, window.known_by, day)
    };
    let cells: Vec<&(Cell, History)> = unit.cells.iter().filter(is_told).collect();
    let mut found = Vec::new();
    for (dimension, shares) in dimensions(unit, &cells, day, rules, symbols) {
        found.extend(ranked(&dimension, divide(unit, day, record, rules, shares)));
    }
    found
}

/// Every dimension that charges of the unit are told apart by, with the days of each of its names.
fn dimensions(
    unit: &Unit,
    cells: &[&(Cell, History)],
    day: i32,
    rules: &Rules,
    symbols: &Symbols,
) -> Vec<(String, Vec<Share>)> {
    let mut tags: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for (place, column) in COLUMNS.iter().enumerate() {
        let name = |cell: usize| symbols.name(cells[cell].0[place]);
        if *column == CURRENCY || (0..cells.len()).all(|cell| name(cell).is_none()) {
            continue;
        }
        if *column != TAGS {
            let named = |cell: usize| name(cell).map(str::to_owned);
            found.push(((*column).to_owned(), grouped(unit, cells, day, rules, named)));
            continue;
        }
        let parse = |text: &str| serde_json::from_str::<BTreeMap<String, serde_json::Value>>(text);
        let tagged: Vec<BTreeMap<String, serde_json::Value>> = (0..cells.len())
            .map(|cell| name(cell).and_then(|text| parse(text).ok()).unwrap_or_default())
            .collect();
        tags.extend(tagged.iter().flat_map(|tags| tags.keys().cloned()));
        tags.sort();
        tags.dedup();
        for tag in &tags {
            let named = |cell: usize| match tagged[cell].get(tag)? {
                serde_json::Value::String(value) => Some(value.clone()),
                other => Some(other.to_string()),
            };
            found.push((format!("tag:{tag}"), grouped(unit, cells, day, rules, named)));
        }
    }
    found
}

/// The days of each name that cells have.
fn grouped(
    unit: &Unit,
    cells: &[&(Cell, History)],
    day: i32,
    rules: &Rules,
    named: impl Fn(usize) -> Option<String>,
) -> Vec<Share> {
    let window = unit.window(day, rules);
    let mut groups: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
    for cell in 0..cells.len() {
        groups.entry(named(cell)).or_default().push(cell);
    }
    let shares = groups.into_iter().map(|(name, members)| {
        let mut sum = History::default();
        for cell in members {
            sum.merge(&cells[cell].1);
        }
        let actual = sum.now(day).unwrap_or_default();
        Share { name, days: unit.days(&sum, &window), actual }
    });
    shares.collect()
}

/// What of the day was expected of each name: its own expectation, and of what they lack together to
/// the account's each a part by its variance (weighted least squares reconciliation, Hyndman et al.
/// 2016, *Fast computation of reconciled forecasts*).
fn divide(
    unit: &Unit,
    day: i32,
    record: &Record,
    rules: &Rules,
    shares: Vec<Share>,
) -> Vec<(Share, i128)> {
    let same_day = unit.window(day, rules).same_day();
    let known: Vec<Expectation> =
        shares.iter().map(|share| expect(&share.days, &same_day)).collect();
    let mut expected: Vec<i128> = known.iter().map(|known| amount(known.value)).collect();
    let lacking = record.expected - expected.iter().sum::<i128>();
    let variance: f64 = known.iter().map(|known| known.scale * known.scale).sum();
    let mut left = lacking;
    for (expected, known) in expected.iter_mut().zip(&known) {
        let part = amount(units(lacking) * (known.scale * known.scale / variance));
        *expected += part;
        left -= part;
    }
    // Rounding leaves a millionth or so: it goes to the name that is known least.
    let widest = (0..known.len()).max_by(|a, b| known[*a].scale.total_cmp(&known[*b].scale));
    if let Some(widest) = widest {
        expected[widest] += left;
    }
    shares.into_iter().zip(expected).collect()
}

/// The names that differ most, and the others together.
fn ranked(dimension: &str, mut shares: Vec<(Share, i128)>) -> Vec<Cause> {
    // Names are in order, and the sort is stable: equals stay so.
    shares.sort_by_key(|(share, expected)| std::cmp::Reverse((share.actual - expected).abs()));
    let rest = shares.split_off(shares.len().min(NAMES));
    let cause = |rank: usize, name, names: usize, expected, actual| Cause {
        dimension: dimension.to_owned(),
        rank: rank as i32 + 1,
        name,
        names: names as i32,
        expected,
        actual,
    };
    let mut causes: Vec<Cause> = shares
        .into_iter()
        .enumerate()
        .map(|(rank, (share, expected))| cause(rank, share.name, 1, expected, share.actual))
        .collect();
    if !rest.is_empty() {
        let expected = rest.iter().map(|(_, expected)| *expected).sum();
        let actual = rest.iter().map(|(share, _)| share.actual).sum();
        causes.push(cause(NAMES, None, rest.len(), expected, actual));
    }
    causes
}
