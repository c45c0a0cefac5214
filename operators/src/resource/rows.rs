//! What is known of resources at the end of a day, as rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, ListBuilder, RecordBatch,
    StringArray, StringBuilder, TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Decimal128Type, DecimalType, Field, Schema};
use serde_json::{Value, json};

use super::fact::{Cause, Deed, Identity};
use super::state::{Cost, Sources, State};
use crate::Result;
use crate::bill::month_of;
use crate::schema::ENTITY_ID;
use crate::schema::cost::{
    CURRENCY, DAY, MONEY_PRECISION, MONEY_SCALE, REGION, SERVICE, money_array,
};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::utilisation::{Channel, Rows, greatest, known, mean};

/// How much of a resource was used on a day.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Used {
    hours: usize,
    /// By [`Channel::ALL`]: means of CPU, memory and connections, the greatest CPU, sums of traffic.
    values: [f64; 7],
}

impl Used {
    /// What a day's hours come to, of which so many are known.
    pub(super) fn of(rows: &Rows<'_>, hours: usize) -> Self {
        let values = Channel::ALL.map(|channel| {
            let values = known(rows.channel(channel));
            match channel {
                Channel::Cpu | Channel::Memory | Channel::Connections => mean(values),
                Channel::CpuPeak => greatest(values),
                Channel::Disk | Channel::NetIn | Channel::NetOut => {
                    values.clone().next().map_or(f64::NAN, |_| values.sum())
                }
            }
        });
        Self { hours, values }
    }
}

/// Columns of [`Used::values`].
const USED: [&str; 7] = [
    "cpu_mean",
    "cpu_peak",
    "memory_mean",
    "disk_mb",
    "net_in_mb",
    "net_out_mb",
    "connections_mean",
];

/// A resource at the end of a day.
#[derive(Debug, Clone)]
pub(super) struct Row {
    id: String,
    day: i32,
    cause: Cause,
    sources: String,
    identity: Identity,
    name: Option<String>,
    size: Option<String>,
    state: &'static str,
    is_declared: bool,
    owner: Option<String>,
    tags: Option<String>,
    first_seen: Option<i64>,
    last_seen: Option<i64>,
    cost: Option<(String, Cost)>,
    /// What it costs in other currencies, a JSON array.
    other_costs: Option<String>,
    used: Option<Used>,
    last_use: Option<i64>,
    last_change: Option<Deed>,
    last_human: Option<Deed>,
    needs: Vec<String>,
}

impl Row {
    pub(super) fn of(
        id: &str,
        day: i32,
        state: &State,
        used: Option<Used>,
        sources: &Sources,
        owner_tags: &[String],
    ) -> Self {
        let tags = state.tags();
        let mut costs = state.costs(month_of(day).0).into_iter();
        let cost = costs.next().map(|(currency, cost)| (currency.to_owned(), cost));
        let others: Vec<Value> = costs
            .map(|(currency, cost)| {
                let text =
                    |amount| Decimal128Type::format_decimal(amount, MONEY_PRECISION, MONEY_SCALE);
                json!({"currency": currency, "cost_to_date": text(cost.to_date),
                       "cost_month": text(cost.month), "cost_last_month": text(cost.last_month)})
            })
            .collect();
        Self {
            id: id.to_owned(),
            day,
            cause: sources.last().cloned().unwrap_or_default(),
            sources: sources.text(),
            identity: state.identity(id),
            name: state.name(),
            size: state.size(id),
            state: match (state.is_gone(), state.is_stopped()) {
                (true, _) => "gone",
                (false, true) => "stopped",
                (false, false) => "present",
            },
            is_declared: state.is_declared(),
            owner: owner_tags.iter().find_map(|tag| tags.get(tag)).cloned(),
            tags: (!tags.is_empty()).then(|| json!(tags).to_string()),
            first_seen: state.first_seen,
            last_seen: state.last_seen,
            cost,
            other_costs: (!others.is_empty()).then(|| Value::Array(others).to_string()),
            used,
            last_use: state.last_use,
            last_change: state.last_change.clone(),
            last_human: state.last_human.clone(),
            needs: state.needs().into_iter().map(str::to_owned).collect(),
        }
    }
}

/// Columns that name the records behind rows, and the resource and day that they are of.
pub(super) fn keys<'a>(
    rows: impl Iterator<Item = (&'a Cause, &'a str, i32)> + Clone,
) -> Vec<(&'static str, ArrayRef)> {
    let text = |of: fn((&'a Cause, &'a str, i32)) -> &'a str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.clone().map(of)))
    };
    let offset = |of: fn(&Cause) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rows.clone().map(|(cause, ..)| of(cause))))
    };
    let partitions = rows.clone().map(|(cause, ..)| cause.partition);
    let days = rows.clone().map(|(.., day)| day);
    vec![
        ("source", text(|(cause, ..)| &cause.source)),
        (PARTITION, Arc::new(UInt32Array::from_iter_values(partitions))),
        (OFFSET_FROM, offset(|cause| cause.from)),
        (OFFSET_TO, offset(|cause| cause.to)),
        (ENTITY_ID, text(|(_, id, _)| id)),
        (DAY, Arc::new(Date32Array::from_iter_values(days))),
    ]
}

/// A batch of columns that may all hold nulls.
pub(super) fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let columns = columns.into_iter().map(|(_, array)| array).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// A list of texts a row.
pub(super) fn lists<'a, T: AsRef<str> + 'a>(rows: impl Iterator<Item = &'a [T]>) -> ArrayRef {
    let field = Field::new("item", DataType::Utf8, false);
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(field);
    for row in rows {
        row.iter().for_each(|text| lists.values().append_value(text));
        lists.append(true);
    }
    Arc::new(lists.finish())
}

/// Floats of which those that are not known are null.
pub(super) fn floats(values: impl Iterator<Item = f64>) -> ArrayRef {
    let values = values.map(|value| (!value.is_nan()).then_some(value));
    Arc::new(values.collect::<Float64Array>())
}

/// Rows as a batch; none of none.
pub(super) fn rows(rows: &[Row]) -> Result<Option<RecordBatch>> {
    if rows.is_empty() {
        return Ok(None);
    }
    let may = |of: fn(&Row) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    let time = |of: fn(&Row) -> Option<i64>| -> ArrayRef {
        let times = rows.iter().map(of).collect::<TimestampMicrosecondArray>();
        Arc::new(times.with_timezone("UTC"))
    };
    let cost = |of: fn(&Cost) -> i128| {
        money_array(rows.iter().map(|row| row.cost.as_ref().map(|(_, cost)| of(cost))))
    };
    let mut columns = keys(rows.iter().map(|row| (&row.cause, row.id.as_str(), row.day)));
    columns.extend([
        ("provider", may(|row| row.identity.provider.as_deref())),
        ("resource_type", may(|row| row.identity.resource_type.as_deref())),
        (SERVICE, may(|row| row.identity.service.as_deref())),
        ("account", may(|row| row.identity.account.as_deref())),
        (REGION, may(|row| row.identity.region.as_deref())),
        ("name", may(|row| row.name.as_deref())),
        ("size", may(|row| row.size.as_deref())),
        ("state", may(|row| Some(row.state))),
        ("is_declared", Arc::new(flags(rows))),
        ("owner", may(|row| row.owner.as_deref())),
        ("tags", may(|row| row.tags.as_deref())),
        ("first_seen", time(|row| row.first_seen)),
        ("last_seen", time(|row| row.last_seen)),
        (CURRENCY, may(|row| Some(row.cost.as_ref()?.0.as_str()))),
        ("cost_to_date", cost(|cost| cost.to_date)?),
        ("cost_month", cost(|cost| cost.month)?),
        ("cost_last_month", cost(|cost| cost.last_month)?),
        ("other_costs", may(|row| row.other_costs.as_deref())),
    ]);
    let hours = rows.iter().map(|row| row.used.as_ref().map(|used| used.hours as i32));
    columns.push(("hours_measured", Arc::new(hours.collect::<Int32Array>())));
    for (at, name) in USED.iter().enumerate() {
        let values = rows.iter().map(|row| row.used.as_ref().map_or(f64::NAN, |u| u.values[at]));
        columns.push((name, floats(values)));
    }
    columns.extend([
        ("last_use", time(|row| row.last_use)),
        ("last_change", time(|row| Some(row.last_change.as_ref()?.at))),
        ("last_change_by", may(|row| Some(row.last_change.as_ref()?.principal.as_str()))),
        ("last_change_operation", may(|row| Some(row.last_change.as_ref()?.operation.as_str()))),
        ("last_human_touch", time(|row| Some(row.last_human.as_ref()?.at))),
        ("last_human", may(|row| Some(row.last_human.as_ref()?.principal.as_str()))),
        ("last_human_operation", may(|row| Some(row.last_human.as_ref()?.operation.as_str()))),
        ("dependencies", lists(rows.iter().map(|row| row.needs.as_slice()))),
        ("sources", may(|row| Some(row.sources.as_str()))),
    ]);
    batch(columns).map(Some)
}

fn flags(rows: &[Row]) -> BooleanArray {
    rows.iter().map(|row| Some(row.is_declared)).collect()
}
