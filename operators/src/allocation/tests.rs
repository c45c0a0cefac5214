use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{ArrowPrimitiveType, Date32Type, Decimal128Type};
use proptest::prelude::*;

use super::*;
use crate::account::change::tests::{Row, UNIT, changes};
use crate::snapshot::{Extent, Snapshot, chunks, restore};

/// Teams are the values of a tag, t0 to t2; regions are north or none.
const TOLD_APART: [&str; 2] = ["tag:team", "region"];

fn told_apart() -> Vec<Dimension> {
    TOLD_APART.iter().map(|name| Dimension::try_from((*name).to_owned()).unwrap()).collect()
}

fn rule(name: &str, matches: &[(&str, &[&str])], split: Split) -> Rule {
    let value = |values: &&[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    let named = matches.iter().map(|(by, values)| ((*by).to_owned(), value(values)));
    Rule { name: name.to_owned(), matches: named.collect(), unallocated: matches.is_empty(), split }
}

fn allocation(name: &str, by: &str, rules: Vec<Rule>) -> Allocation {
    Allocation { name: name.to_owned(), by: By::try_from(by.to_owned()).unwrap(), rules }
}

fn weights(weights: &[(&str, f64)]) -> Split {
    Split::Weights(weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect())
}

/// Services are 0 to 5 and team t0 has 0 and 1, t1 has 2 and 3, t2 has 4 and 5; even ones are in the
/// north.
fn kernel() -> Allocations {
    let proportional = rule("support", &[("service", &["service5"])], Split::Proportional);
    let allocations = [
        allocation(
            "teams",
            "tag:team",
            vec![
                proportional.clone(),
                rule("network", &[("service", &["service3", "service5"])], Split::Even),
                rule(
                    "north",
                    &[("region", &["north"]), ("account", &["account2"])],
                    weights(&[("t0", 2.0), ("t2", 1.0), ("t9", 0.5)]),
                ),
            ],
        ),
        allocation("regions", "region", vec![rule("rest", &[], Split::Proportional)]),
        allocation("services", "service", vec![proportional]),
    ];
    Allocations::new(&allocations, &told_apart()).unwrap()
}

/// The changes, with billing account p0 or p1 by the account's number.
fn charges(rows: &[Row]) -> RecordBatch {
    let batch = changes(rows);
    let payers = rows.iter().map(|row| format!("p{}", row.2 % 2));
    let payers: ArrayRef = Arc::new(StringArray::from_iter_values(payers));
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        Arc::clone(if field.name() == BILLING_ACCOUNT { &payers } else { column })
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

/// Billing account, month, allocation, target and rule.
type Name = (String, i32, String, Option<String>, String);
/// What changes add up to, by the day on which they became known: billed and effective.
type Ledger = BTreeMap<(Name, i32), [i128; 2]>;

fn values<T: ArrowPrimitiveType>(batch: &RecordBatch, name: &str) -> Vec<T::Native> {
    numbers::<T>(batch, name).unwrap().values().to_vec()
}

/// Adds changes up, and holds every change against the end of the one before it.
fn fold(ledger: &mut Ledger, found: Option<RecordBatch>) {
    let Some(rows) = found else { return };
    let text = |name, row| texts(&rows, name).unwrap().iter().nth(row).unwrap().map(str::to_owned);
    let amounts = |name| values::<Decimal128Type>(&rows, name);
    let before = [amounts(BILLED_BEFORE), amounts(EFFECTIVE_BEFORE)];
    let after = [amounts(BILLED_AFTER), amounts(EFFECTIVE_AFTER)];
    let months = values::<Date32Type>(&rows, crate::budget::MONTH);
    let known_on = values::<Date32Type>(&rows, KNOWN_ON);
    for row in 0..rows.num_rows() {
        let name = (
            text(BILLING_ACCOUNT, row).unwrap(),
            months[row],
            text(ALLOCATION, row).unwrap(),
            text(TARGET, row),
            text(RULE, row).unwrap(),
        );
        let known = total(ledger, &name);
        assert_eq!(known, [0, 1].map(|at: usize| before[at][row]), "{name:?}");
        let by = [0, 1].map(|at: usize| after[at][row] - before[at][row]);
        assert_ne!(by, [0, 0], "{name:?}: no change");
        let sum = ledger.entry((name, known_on[row])).or_default();
        *sum = [0, 1].map(|at: usize| sum[at] + by[at]);
    }
    ledger.retain(|_, sum| *sum != [0, 0]);
}

fn total(ledger: &Ledger, name: &Name) -> [i128; 2] {
    let days = ledger.range((name.clone(), i32::MIN)..=(name.clone(), i32::MAX));
    days.fold([0, 0], |sum, (_, by)| [sum[0] + by[0], sum[1] + by[1]])
}

fn taken(operator: &mut Allocations, rows: &[Row]) -> Ledger {
    operator.push(&charges(rows)).unwrap();
    let mut ledger = Ledger::new();
    fold(&mut ledger, operator.take_changes().unwrap());
    ledger
}

/// The effective amounts of one allocation in January, for billing account p0.
fn january(ledger: &Ledger, allocation: &str) -> Vec<(Option<String>, String, i128)> {
    let mut all: BTreeMap<Name, i128> = BTreeMap::new();
    for ((name, _), by) in ledger {
        if name.0 == "p0" && name.1 == 0 && name.2 == allocation {
            *all.entry(name.clone()).or_default() += by[1];
        }
    }
    let rows = all.into_iter().filter(|(_, amount)| *amount != 0);
    rows.map(|(name, amount)| (name.3, name.4, amount)).collect()
}

fn row(target: Option<&str>, rule: &str, amount: i128) -> (Option<String>, String, i128) {
    (target.map(str::to_owned), rule.to_owned(), amount)
}

#[test]
fn shared_costs_are_divided_by_the_first_rule_that_takes_them() {
    let rows = [
        (1, 1, 0, 0, 30 * UNIT),
        (1, 1, 0, 2, 10 * UNIT),
        // Support, and of its kind though the second rule names it too.
        (1, 2, 0, 5, 8 * UNIT),
        // Network.
        (2, 2, 0, 3, 5 * UNIT),
        // North of account 2, by weights: even to those without costs.
        (3, 3, 2, 4, 7 * UNIT),
    ];
    let ledger = taken(&mut kernel(), &rows);
    let half = 5 * UNIT / 2;
    assert_eq!(
        january(&ledger, "teams"),
        [
            row(Some("t0"), "direct", 30 * UNIT),
            row(Some("t0"), "network", half),
            row(Some("t0"), "north", 4 * UNIT),
            row(Some("t0"), "support", 6 * UNIT),
            row(Some("t1"), "direct", 10 * UNIT),
            row(Some("t1"), "network", half),
            row(Some("t1"), "support", 2 * UNIT),
            row(Some("t2"), "north", 2 * UNIT),
            row(Some("t9"), "north", UNIT),
        ]
    );
    // What has no region is divided among those that have one.
    let rest = (8 + 5) * UNIT;
    let north = (30 + 10 + 7) * UNIT;
    assert_eq!(
        january(&ledger, "regions"),
        [row(Some("north"), "direct", north), row(Some("north"), "rest", rest)]
    );
    // On the first day support was all that was shared.
    let name =
        ("p0".to_owned(), 0, "teams".to_owned(), Some("t0".to_owned()), "support".to_owned());
    assert_eq!(ledger[&(name.clone(), 1)], [18 * UNIT, 6 * UNIT]);
    assert_eq!(total(&ledger, &name), [18 * UNIT, 6 * UNIT]);
}

#[test]
fn a_restated_charge_moves_the_shares_of_all_and_takes_back_its_own() {
    let mut operator = kernel();
    let mut ledger =
        taken(&mut operator, &[(1, 1, 0, 0, 3 * UNIT), (1, 1, 0, 2, UNIT), (1, 1, 0, 5, 4 * UNIT)]);
    // Known later: t0 had nothing.
    operator.push(&charges(&[(9, 1, 0, 0, -3 * UNIT)])).unwrap();
    let changes = operator.take_changes().unwrap();
    assert_eq!(changes.as_ref().unwrap().num_rows(), 2 * 2 + 1 + 2);
    fold(&mut ledger, changes);
    let want = [row(Some("t1"), "direct", UNIT), row(Some("t1"), "support", 4 * UNIT)];
    assert_eq!(january(&ledger, "teams"), want);
    // And then nobody had anything: what is shared stays where it is, and a credit does too.
    operator.push(&charges(&[(9, 1, 0, 2, -2 * UNIT), (9, 2, 0, 5, -5 * UNIT)])).unwrap();
    fold(&mut ledger, operator.take_changes().unwrap());
    let want = [row(None, "support", -UNIT), row(Some("t1"), "direct", -UNIT)];
    assert_eq!(january(&ledger, "teams"), want);
    assert!(operator.take_changes().unwrap().is_none(), "it is said once");
}

#[test]
fn what_was_known_on_an_earlier_day_puts_the_days_since_right() {
    let mut operator = kernel();
    let mut ledger = taken(&mut operator, &[(1, 1, 0, 0, UNIT), (5, 1, 0, 5, 4 * UNIT)]);
    operator.push(&charges(&[(3, 1, 0, 2, UNIT)])).unwrap();
    fold(&mut ledger, operator.take_changes().unwrap());
    let mut at_once = kernel();
    let rows = [(5, 1, 0, 5, 4 * UNIT), (3, 1, 0, 2, UNIT), (1, 1, 0, 0, UNIT)];
    assert_eq!(ledger, taken(&mut at_once, &rows));
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let refused = |allocations: &[Allocation], what: &str| {
        let error = Allocations::new(allocations, &told_apart()).unwrap_err().to_string();
        assert!(error.contains(what), "{what}: {error}");
    };
    let of = |rule: Rule| [allocation("teams", "tag:team", vec![rule])];
    let even = |name: &str, matches: &[(&str, &[&str])]| rule(name, matches, Split::Even);
    let teams = allocation("teams", "tag:team", Vec::new());
    refused(&[teams.clone(), teams], "allocation \"teams\": it is named twice");
    refused(&[allocation("", "service", Vec::new())], "it needs a name");
    refused(&[allocation("some", "invoice", Vec::new())], "add it to bill.by");
    refused(&of(even("direct", &[])), "another than \"direct\"");
    refused(
        &of(even("a", &[("tag:kind", &["b"])])),
        "rule \"a\": match: totals are not told apart",
    );
    refused(&of(even("a", &[("servce", &["b"])])), "unknown dimension \"servce\"");
    refused(&of(even("a", &[("service", &[])])), "service needs values");
    refused(&of(Rule { unallocated: false, ..even("a", &[]) }), "either match");
    refused(&of(Rule { unallocated: true, ..even("a", &[("service", &["b"])]) }), "either match");
    refused(&of(rule("a", &[], weights(&[]))), "names a target");
    refused(&of(rule("a", &[], weights(&[("t", 0.0)]))), "the weight of \"t\" is 0");
    refused(&of(rule("a", &[], weights(&[("t", f64::NAN)]))), "NaN");
    let twice = [allocation("teams", "tag:team", vec![even("a", &[]), even("a", &[])])];
    refused(&twice, "rule \"a\": it is named twice");
    let other = RecordBatch::new_empty(allocation_schema());
    assert!(kernel().push(&other).is_err());
}

#[test]
fn a_split_is_written_as_a_word_or_a_table() {
    let read = |split: &str| serde_json::from_str::<Split>(split);
    assert_eq!(read("\"proportional\"").unwrap(), Split::Proportional);
    assert_eq!(
        read("{\"search\": 2, \"ads\": 0.5}").unwrap(),
        weights(&[("ads", 0.5), ("search", 2.0)])
    );
    let error = read("\"evn\"").unwrap_err().to_string();
    assert!(error.contains("\"proportional\", \"even\" or a table of weights"), "{error}");
}

#[test]
fn foreign_state_is_refused_by_name() {
    let mut operator = kernel();
    let rows = [(1, 1, 0, 0, UNIT), (1, 1, 0, 5, UNIT)];
    operator.push(&charges(&rows)).unwrap();
    operator.take_changes().unwrap();
    assert_eq!(operator.size(), (3, 3 + 3));
    let state: Vec<_> = chunks(&operator, Extent::Whole).collect::<Result<_>>().unwrap();
    let allocations = [allocation("teams", "tag:team", Vec::new())];
    let mut other = Allocations::new(&allocations, &told_apart()).unwrap();
    let error = restore(&mut other, &[state], |_| true).unwrap_err().to_string();
    assert!(error.contains("snapshot of allocation"), "{error}");
    let schema = allocation_schema();
    assert!(other.restore(Shard(0), &RecordBatch::new_empty(schema)).is_err());
}

/// Charges and corrections of two months, in any order.
fn bills() -> impl Strategy<Value = Vec<Row>> {
    let amount = prop_oneof![-9..20_i128, Just(7 * UNIT / 3), (-5..30_i128).prop_map(|n| n * UNIT)];
    let charge = (0..45_i32, 20..45_i32, 0..4_u8, 0..6_u8, amount);
    proptest::collection::vec(charge, 1..60)
}

/// What is known by a day must come to the bill, and shares to what is shared, each less than a unit
/// off.
fn check_sums(ledger: &Ledger, rows: &[Row], by: i32) -> std::result::Result<(), TestCaseError> {
    let known: Vec<&Row> = rows.iter().filter(|row| row.0 <= by).collect();
    for (payer, month) in [("p0", 0), ("p0", 31), ("p1", 0), ("p1", 31)] {
        let of_month =
            |row: &&&Row| format!("p{}", row.2 % 2) == payer && first_of_month(row.1) == month;
        let bill: i128 = known.iter().filter(of_month).map(|row| row.4).sum();
        for allocation in ["teams", "regions", "services"] {
            let of = |name: &Name| name.0 == payer && name.1 == month && name.2 == allocation;
            let mut amounts: BTreeMap<(Option<&str>, &str), i128> = BTreeMap::new();
            for ((name, known_on), sums) in ledger.iter().filter(|((name, _), _)| of(name)) {
                if *known_on <= by {
                    *amounts.entry((name.3.as_deref(), &name.4)).or_default() += sums[1];
                }
            }
            prop_assert_eq!(amounts.values().sum::<i128>(), bill, "{} {}", allocation, by);
            if allocation != "services" {
                continue;
            }
            let shared = known.iter().filter(of_month).filter(|row| row.3 == 5);
            let shared: i128 = shared.map(|row| row.4).sum();
            let mut direct: BTreeMap<u8, i128> = BTreeMap::new();
            for row in known.iter().filter(of_month).filter(|row| row.3 != 5) {
                *direct.entry(row.3).or_default() += row.4;
            }
            let whole: i128 = direct.values().filter(|amount| **amount > 0).sum();
            for (service, amount) in &direct {
                let name = format!("service{service}");
                let said = |rule| amounts.get(&(Some(name.as_str()), rule)).copied().unwrap_or(0);
                prop_assert_eq!(said("direct"), *amount);
                let off = said("support") * whole - shared * (*amount).max(0);
                prop_assert!(off.abs() < whole.max(1), "{} of {}", said("support"), shared);
            }
            let nobodys = amounts.get(&(None, "support")).copied().unwrap_or(0);
            prop_assert_eq!(nobodys, if whole == 0 { shared } else { 0 });
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_said_does_not_depend_on_order_cuts_or_restarts(
        rows in bills(),
        order in any::<u64>(),
        cuts in proptest::collection::vec(0..60_usize, 0..12),
        changed in any::<bool>(),
    ) {
        let whole = taken(&mut kernel(), &rows);
        for by in 0..46 {
            check_sums(&whole, &rows, by)?;
        }
        let mut shuffled = rows.clone();
        shuffled.sort_by_key(|row| {
            let mixed = (row.0 as u64).wrapping_mul(order | 1) ^ (row.4 as u64).wrapping_mul(order);
            mixed.rotate_left(row.3.into())
        });
        let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut.min(rows.len())).collect();
        ends.push(rows.len());
        ends.sort_unstable();
        let mut parts = Ledger::new();
        let mut operator = kernel();
        let mut states: Vec<Vec<RecordBatch>> = Vec::new();
        let mut start = 0;
        for end in ends {
            operator.push(&charges(&shuffled[start..end])).unwrap();
            fold(&mut parts, operator.take_changes().unwrap());
            start = end;
            let extent = if changed { Extent::Changed } else { Extent::Whole };
            if !changed { states.clear(); }
            states.push(chunks(&operator, extent).collect::<Result<_>>().unwrap());
            operator = kernel();
            restore(&mut operator, &states, |_| true).unwrap();
        }
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn any_number_of_workers_says_the_same(rows in bills(), workers in 1..5_usize) {
        let mut together = Ledger::new();
        for worker in 0..workers {
            let owned = |row: &&Row| {
                Shard::of(&format!("p{}", row.2 % 2)).worker(workers) == worker
            };
            let part: Vec<Row> = rows.iter().filter(owned).copied().collect();
            together.extend(taken(&mut kernel(), &part));
        }
        prop_assert_eq!(together, taken(&mut kernel(), &rows));
    }
}

#[test]
fn changes_say_where_their_records_stood() {
    let mut operator = kernel();
    operator.push(&charges(&[(4, 2, 0, 0, UNIT), (1, 1, 0, 2, UNIT)])).unwrap();
    let rows = operator.take_changes().unwrap().unwrap();
    let offsets = |name| values::<UInt64Type>(&rows, name);
    assert!(offsets(OFFSET_FROM).iter().all(|from| *from == 1_001));
    assert!(offsets(OFFSET_TO).iter().all(|to| *to == 4_002));
}
