use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Date32Type, Decimal128Type, Float64Type, Int32Type};
use arrow::util::pretty::pretty_format_batches;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::fact::{Cause, Deed, Described, Identity, Money, What};
use super::*;
use crate::epoch::Partition;
use crate::right_size::{Seen, Sold};
use crate::schema::{column, sensor, texts};
use crate::snapshot::{chunks, restore};

const HOUR: i64 = 3_600_000_000;

fn cause(source: &str, at: u64) -> Cause {
    Cause { source: source.to_owned(), partition: 0, from: at, to: at }
}

fn fact(resource: &str, at: i64, what: What) -> Fact {
    let source = match what {
        What::Charged { .. } | What::Sold { .. } => "bill",
        What::Declared(_) | What::Undeclared { .. } => "terraform",
        _ => "trail",
    };
    Fact {
        resource: resource.to_owned(),
        at,
        what,
        identity: Identity {
            resource_type: Some("aws_instance".to_owned()),
            ..Identity::default()
        },
        cause: cause(source, (at / 1_000_000) as u64),
    }
}

fn charged(resource: &str, known_on: i64, month: i32, amount: i128) -> Fact {
    let what = What::Charged {
        currency: "USD".to_owned(),
        month,
        amount: Money(amount * 1_000_000_000_000),
        tags: Some(json!({"team": "web"}).to_string()),
    };
    Fact {
        identity: Identity { service: Some("EC2".to_owned()), ..Identity::default() },
        ..fact(resource, known_on * DAY_US, what)
    }
}

fn config() -> ResourcesConfig {
    let judge = Judging { every_days: 2, ..Judging::default() };
    ResourcesConfig { judge, ..ResourcesConfig::default() }
}

/// Hours of a machine: CPU, and MB received in the hour.
fn telemetry(entity: &str, from: i64, values: &[(f32, f32)]) -> RecordBatch {
    let times = (0..values.len() as i64).map(|hour| from + hour * HOUR + 60_000_000);
    let offsets = (0..values.len() as u64).map(|hour| (from / HOUR) as u64 * 10 + hour);
    let channels = ["cpu".to_owned(), "rx".to_owned()];
    let floats = |of: fn(&(f32, f32)) -> f32| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(values.iter().map(of)))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![entity; values.len()])),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(UInt64Array::from_iter_values(offsets)),
        floats(|(cpu, _)| *cpu),
        floats(|(_, rx)| *rx),
    ];
    RecordBatch::try_new(sensor::schema(&channels), columns).unwrap()
}

fn hours() -> Hours {
    let measures: UtilisationConfig =
        serde_json::from_value(json!({"cpu": "cpu", "net_in": {"channel": "rx"}})).unwrap();
    Hours::new("vms", &measures, &["cpu".to_owned(), "rx".to_owned()]).unwrap()
}

/// A job's two operators, and what they told.
struct Job {
    hours: Hours,
    prices: PriceList,
    resources: Resources,
    known: Vec<RecordBatch>,
    judged: Vec<RecordBatch>,
}

impl Job {
    fn new() -> Self {
        Self {
            hours: hours(),
            prices: PriceList::default(),
            resources: Resources::new(config()).unwrap(),
            known: Vec::new(),
            judged: Vec::new(),
        }
    }

    /// One epoch.
    fn take(&mut self, rows: &[RecordBatch], facts: &[Fact], prices: &[price::Known], to: i64) {
        let watermark = Watermark(to);
        for rows in rows {
            self.hours.push(Partition(0), rows, None).unwrap();
        }
        if let Some(prices) = price::price_rows(prices).unwrap() {
            self.prices.push(&prices).unwrap();
        }
        if let Some(batch) = self.hours.advance(watermark).unwrap() {
            self.resources.push(&batch).unwrap();
        }
        if let Some(list) = self.prices.advance(watermark).unwrap() {
            self.resources.push(&list).unwrap();
        }
        if let Some(facts) = fact::rows(facts).unwrap() {
            self.resources.push(&facts).unwrap();
        }
        let (known, judged) = self.resources.advance(watermark).unwrap();
        self.known.extend(known);
        self.judged.extend(judged);
    }

    /// Ends, and begins again from snapshots.
    fn restart(self) -> Self {
        let mut again = Self { known: self.known, judged: self.judged, ..Self::new() };
        let pairs: [(&dyn Snapshot, &mut dyn Snapshot); 3] = [
            (&self.hours, &mut again.hours),
            (&self.prices, &mut again.prices),
            (&self.resources, &mut again.resources),
        ];
        for (old, new) in pairs {
            let state = chunks(old, Extent::Whole).collect::<Result<Vec<_>>>().unwrap();
            restore(new, &[state], |_| true).unwrap();
        }
        again
    }

    /// What was told, as text: of resources, and of those judged.
    fn told(&self) -> (String, String) {
        let text = |batches: &[RecordBatch]| pretty_format_batches(batches).unwrap().to_string();
        (text(&self.known), text(&self.judged))
    }

    fn rows(&self) -> RecordBatch {
        concat_batches(&self.known[0].schema(), &self.known).unwrap()
    }
}

/// What rows say of a resource: the day, then a column.
fn column_of(rows: &RecordBatch, resource: &str, name: &str) -> Vec<(i32, Value)> {
    let (ids, days) = (texts(rows, "entity_id").unwrap(), column(rows, "day").unwrap());
    let array = column(rows, name).unwrap();
    let value = |row: usize| -> Value {
        if array.is_null(row) {
            return Value::Null;
        }
        if let Some(texts) = array.as_string_opt::<i32>() {
            return texts.value(row).into();
        }
        if let Some(money) = array.as_primitive_opt::<Decimal128Type>() {
            return i64::try_from(money.value(row) / 1_000_000_000_000).unwrap().into();
        }
        if let Some(list) = array.as_list_opt::<i32>() {
            let list = list.value(row);
            return list.as_string::<i32>().iter().flatten().collect::<Vec<_>>().into();
        }
        if let Some(float) = array.as_primitive_opt::<Float64Type>() {
            return float.value(row).into();
        }
        array.as_primitive::<Int32Type>().value(row).into()
    };
    (0..rows.num_rows())
        .filter(|row| ids.value(*row) == resource)
        .map(|row| (days.as_primitive::<Date32Type>().value(row), value(row)))
        .collect()
}

#[test]
fn a_restated_bill_changes_a_resource_from_the_day_it_became_known() {
    let mut job = Job::new();
    // 1970-01 is month 1970 * 12; a charge of January is taken back in February.
    let january = 1970 * 12;
    let facts = [
        charged("i-1", 5, january, 10),
        charged("i-1", 6, january, 4),
        charged("i-1", 40, january, -3),
        charged("i-1", 40, january + 1, 2),
    ];
    job.take(&[], &facts, &[], i64::MAX);
    let rows = job.rows();
    let costs = |name| column_of(&rows, "i-1", name);
    let day = |day: i32, value: i64| (day, Value::from(value));
    assert_eq!(costs("cost_to_date"), [day(5, 10), day(6, 14), day(40, 13)]);
    assert_eq!(costs("cost_month"), [day(5, 10), day(6, 14), day(40, 2)]);
    assert_eq!(costs("cost_last_month"), [day(5, 0), day(6, 0), day(40, 11)]);
    let text = |day: i32, text: &str| (day, Value::from(text));
    assert_eq!(costs("service"), [text(5, "EC2"), text(6, "EC2"), text(40, "EC2")]);
    assert_eq!(costs("owner")[0], text(5, "web"));
    let sources = json!([{"source": "bill", "partition": 0, "from": 432_000, "to": 432_000}]);
    assert_eq!(costs("sources")[0], text(5, &sources.to_string()));
}

#[test]
fn a_resource_is_what_all_streams_say_of_it() {
    let mut job = Job::new();
    let deed = |at: i64, who: &str| Deed {
        at,
        principal: who.to_owned(),
        operation: "StartInstances".to_owned(),
    };
    let declared = What::Declared(Described {
        scope: "net".to_owned(),
        name: Some("aws_instance.api".to_owned()),
        attributes: BTreeMap::from(
            [("instance_type", "m5.large"), ("tags.owner", "ann"), ("tags.team", "web")]
                .map(|(path, value)| (path.to_owned(), value.to_owned())),
        ),
        needs: vec!["subnet-1".to_owned()],
    });
    let touched = |at: i64, who: &str, is_human: bool| What::Touched {
        first: at,
        last: at,
        used: Some(at),
        changed: Some(deed(at, who)),
        by_human: is_human.then(|| deed(at, who)),
    };
    let resized = json!({"set": {"instance_type": "m5.xlarge"}, "drop": ["tags.owner"]});
    let facts = [
        fact("i-1", 2 * HOUR, declared),
        fact("i-1", DAY_US, touched(DAY_US + 5, "bot", false)),
        fact("i-1", DAY_US, touched(DAY_US + 3, "ann", true)),
        fact("i-1", DAY_US + HOUR, What::Joined("vol-1".to_owned())),
        fact("i-1", 2 * DAY_US, What::Changed { patch: resized.to_string() }),
        fact("i-1", 3 * DAY_US, What::Parted("vol-1".to_owned())),
        fact("i-1", 4 * DAY_US, What::Gone),
        charged("i-1", 5, 1970 * 12, 1),
    ];
    let idle: Vec<(f32, f32)> = vec![(1.0, 0.01); 24];
    let busy: Vec<(f32, f32)> = vec![(60.0, 9.0); 24];
    let rows = [telemetry("i-1", 0, &busy), telemetry("i-1", DAY_US, &idle)];
    job.take(&rows, &facts, &[], i64::MAX);
    let rows = job.rows();
    let told = |name| -> Vec<Value> {
        column_of(&rows, "i-1", name).into_iter().map(|(_, value)| value).collect()
    };
    let with = "m5.xlarge";
    assert_eq!(told("size")[..4], ["m5.large", "m5.large", with, with].map(Value::from));
    assert_eq!(told("owner")[1..3], ["ann", "web"].map(Value::from));
    assert_eq!(told("state")[3..], ["present", "gone", "gone"].map(Value::from));
    assert_eq!(
        told("dependencies")[1..4],
        [json!(["subnet-1", "vol-1"]), json!(["subnet-1", "vol-1"]), json!(["subnet-1"])]
    );
    assert_eq!(told("last_human")[1], "ann");
    assert_eq!(told("last_change_by")[1], "bot");
    assert_eq!(told("cpu_mean")[..3], [json!(60.0), json!(1.0), Value::Null]);
    assert_eq!(told("net_in_mb")[0], json!(216.0));
    assert_eq!(told("hours_measured")[..3], [json!(24), json!(24), Value::Null]);
    assert_eq!(told("name")[5], "aws_instance.api");
}

#[test]
fn a_machine_that_is_too_large_is_told_the_size_that_would_do_at_the_bills_price() {
    let mut job = Job::new();
    let sold = |size: &str| Sold {
        provider: "aws".to_owned(),
        region: "eu-west-1".to_owned(),
        terms: String::new(),
        currency: "USD".to_owned(),
        size: size.to_owned(),
    };
    let known = |since: i32, size: &str, hour: i128| price::Known {
        since,
        sold: sold(size),
        seen: Seen { day: since, known_on: since, hour, partition: Partition(0), offset: 1 },
    };
    let days = 16;
    let mut facts = vec![charged("i-1", 0, 1970 * 12, 7)];
    let what = What::Sold { day: 0, sold: sold("m5.4xlarge"), committed: false };
    facts.push(fact("i-1", 0, what));
    let low: Vec<(f32, f32)> = (0..24 * days).map(|hour| (6.0 + (hour % 3) as f32, 0.1)).collect();
    let rows = [telemetry("i-1", 0, &low)];
    // On the third day the bill shows a price that no longer holds later.
    let prices = [known(0, "m5.4xlarge", 768_000_000_000), known(3, "m5.4xlarge", 800_000_000_000)];
    job.take(&rows, &facts, &prices, i64::MAX);
    let judged = concat_batches(&job.judged[0].schema(), &job.judged).unwrap();
    let last = |name: &str| column_of(&judged, "i-1", name).pop().unwrap().1;
    // Memory is not measured, so none is taken away.
    assert_eq!((last("outcome"), last("reason")), (json!("kept"), json!("memory-unknown")));
    assert_eq!(last("size"), "m5.4xlarge");
    let first = |name: &str| column_of(&judged, "i-1", name).swap_remove(0).1;
    assert_eq!(first("reason"), "short-history");
    assert_eq!(last("evidence"), json!(["short-history", "connections-unknown"]));
    // Half of it, in proportion, at the price of the day.
    assert_eq!((last("other_size"), last("price_basis")), (json!("m5.2xlarge"), json!("family")));
    let saving = column(&judged, "saving_month").unwrap().as_primitive::<Decimal128Type>();
    assert_eq!(saving.value(saving.len() - 1), 400_000_000_000 * 730);
}

proptest! {
    /// However facts, rows and prices are cut into epochs, and wherever a restart falls, the rows are those
    /// of one epoch, each in the epoch whose watermark has passed its day.
    #[test]
    fn cuts_and_restarts_do_not_show(
        machines in prop::collection::vec((0..3_usize, 0..9_i64, 1..60_usize, 0..100_u8), 1..6),
        charges in prop::collection::vec((0..3_usize, 0..9_i64, 0..2_i32, -5..9_i128), 0..9),
        events in prop::collection::vec((0..3_usize, 0..9 * 24_i64, 0..5_u8), 0..12),
        shown in prop::collection::vec((0..9_i32, 1..9_i128), 0..4),
        cuts in prop::collection::vec(1..72_i64, 1..12),
        restart_at in 0..12_usize,
    ) {
        let ids = ["i-1", "i-2", "vol-3"];
        let mut rows = BTreeMap::new();
        for (machine, day, hours, cpu) in machines {
            for hour in 0..hours as i64 {
                let at = day * 24 + hour;
                rows.entry((at, machine)).or_insert(f32::from(cpu) + hour as f32 / 8.0);
            }
        }
        let mut facts: Vec<Fact> = charges
            .into_iter()
            .map(|(of, day, month, amount)| charged(ids[of], day, 1970 * 12 + month, amount))
            .collect();
        for (number, (of, hour, what)) in events.into_iter().enumerate() {
            let (at, other) = (hour * HOUR + number as i64, ids[(of + 1) % 3].to_owned());
            let deed = Deed { at, principal: format!("p{number}"), operation: "Op".to_owned() };
            let what = match what {
                0 => What::Joined(other),
                1 => What::Parted(other),
                2 => What::Gone,
                3 => What::Changed { patch: json!({"set": {"instance_type": format!("t3.{number}")}}).to_string() },
                _ => What::Touched { first: at, last: at, used: None, changed: Some(deed), by_human: None },
            };
            let at = if matches!(what, What::Touched { .. }) { hour / 24 * DAY_US } else { at };
            facts.push(fact(ids[of], at, what));
        }
        let prices: Vec<price::Known> = shown
            .into_iter()
            .map(|(since, hour)| price::Known {
                since,
                sold: Sold {
                    provider: "aws".to_owned(), region: String::new(), terms: String::new(),
                    currency: "USD".to_owned(), size: "t3.small".to_owned(),
                },
                seen: Seen { day: since, known_on: since, hour, partition: Partition(0), offset: hour as u64 },
            })
            .collect();
        let batches = |from: i64, to: i64| -> Vec<RecordBatch> {
            let within = rows.range((from, 0)..(to, 0));
            within.map(|((at, of), cpu)| telemetry(ids[*of], at * HOUR, &[(*cpu, 1.0)])).collect()
        };
        let mut whole = Job::new();
        whole.take(&batches(0, 20 * 24), &facts, &prices, i64::MAX);

        let mut parts = Job::new();
        let mut from = 0;
        for (number, length) in cuts.into_iter().chain([20 * 24]).enumerate() {
            // Each stream's records of these hours; the watermark stands at their end.
            let to = from + length;
            let is_within = |at: i64| (from * HOUR..to * HOUR).contains(&at);
            let of: Vec<Fact> = facts.iter().filter(|fact| is_within(fact.at)).cloned().collect();
            let shown: Vec<_> =
                prices.iter().filter(|p| is_within(i64::from(p.since) * DAY_US)).cloned().collect();
            parts.take(&batches(from, to), &of, &shown, to * HOUR);
            from = to;
            if number == restart_at {
                parts = parts.restart();
            }
        }
        parts.take(&[], &[], &[], i64::MAX);
        prop_assert_eq!(parts.told(), whole.told());
    }
}
