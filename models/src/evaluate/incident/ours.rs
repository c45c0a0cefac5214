//! The bills through the dataflow's own kernels, a day an epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Decimal128Array, DictionaryArray, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray, UInt64Array, new_null_array,
};
use arrow::datatypes::{Date32Type, Int32Type};
use cloudops_datasets::simulate::incident::{FIRST_DAY, IncidentRow, Incidents};
use cloudops_operators::anomaly::{
    ABOVE_IMPACT, ANOMALY_ID, Anomalies, AnomalyConfig, DIMENSION, EVENT_ID, NAME, RANK, STATE,
};
use cloudops_operators::bill::{Bill, Clock, Dimension};
use cloudops_operators::epoch::Partition;
use cloudops_operators::schema::cost::{
    self, BILLED_COST, BILLING_ACCOUNT, CHARGE_CATEGORY, CHARGE_CLASS, CURRENCY, DAY, DAY_US,
    EFFECTIVE_COST, MONEY_PRECISION, MONEY_SCALE, PROVIDER, REGION, SERVICE, VERSION,
};
use cloudops_operators::schema::{ENTITY_ID, OFFSET, TS, column, texts};

use super::Alert;
use crate::Result;

/// What the operators allow: a day closes when the next has.
const LATENESS_US: i64 = DAY_US;

/// The alerts that the default settings give.
pub(super) fn alerts(bills: &Incidents) -> Result<Vec<Alert>> {
    let mut bill = Bill::new(&[Dimension::Region])?;
    let mut clock = Clock::new(LATENESS_US);
    let mut anomalies = Anomalies::new("simulated", &AnomalyConfig::default(), LATENESS_US)?;
    let mut events: BTreeMap<String, Alert> = BTreeMap::new();
    let mut offset = 0;
    for rows in bills.rows.chunk_by(|a, b| a.known_on == b.known_on) {
        let judged = clock.judge(&batch(rows, offset)?)?;
        offset += rows.len() as u64;
        bill.push(Partition(0), &judged, None)?;
        if let Some(changes) = bill.take_changes()? {
            anomalies.push(&changes)?;
        }
        if let Some((found, causes)) = anomalies.advance(clock.watermark())? {
            take(&mut events, rows[0].known_on, &found, &causes)?;
        }
    }
    Ok(events.into_values().collect())
}

/// Takes up what an epoch said; those not worth looking at are left out.
fn take(
    events: &mut BTreeMap<String, Alert>,
    epoch: i32,
    found: &RecordBatch,
    causes: &RecordBatch,
) -> Result<()> {
    let (ids, owners) = (texts(found, ANOMALY_ID)?, texts(causes, ANOMALY_ID)?);
    let (states, names) = (texts(found, STATE)?, texts(found, EVENT_ID)?);
    let entities = texts(found, ENTITY_ID)?;
    let days = column(found, DAY)?.as_primitive::<Date32Type>();
    let above = column(found, ABOVE_IMPACT)?.as_boolean();
    let (dimensions, members) = (texts(causes, DIMENSION)?, texts(causes, NAME)?);
    let ranks = column(causes, RANK)?.as_primitive::<Int32Type>();
    for row in (0..found.num_rows()).filter(|row| above.value(*row)) {
        let day = days.value(row) - FIRST_DAY;
        let first = |dimension: &str| {
            let cause = (0..causes.num_rows()).find(|cause| {
                owners.value(*cause) == ids.value(row)
                    && dimensions.value(*cause) == dimension
                    && ranks.value(*cause) == 1
            });
            number(members.value(cause?))
        };
        let alert = events.entry(names.value(row).to_owned()).or_insert_with(|| Alert {
            account: number(entities.value(row)).unwrap_or_default(),
            days: BTreeSet::new(),
            service: first(SERVICE),
            region: first(REGION),
            retracted: BTreeMap::new(),
        });
        if states.value(row) == "open" {
            alert.days.insert(day);
        } else {
            alert.retracted.entry(day).or_insert(epoch);
        }
    }
    Ok(())
}

/// The number at the end of a name.
fn number(name: &str) -> Option<u32> {
    name.rsplit('-').next()?.parse().ok()
}

fn batch(rows: &[IncidentRow], first: u64) -> Result<RecordBatch> {
    let text = |of: &dyn Fn(&IncidentRow) -> Option<String>| -> ArrayRef {
        let names: StringArray = rows.iter().map(of).collect();
        Arc::new(names.iter().collect::<DictionaryArray<Int32Type>>())
    };
    let same = |name: &str| text(&|_| Some(name.to_owned()));
    let amounts = || -> Result<ArrayRef> {
        let amounts = rows.iter().map(|row| i128::from(row.millionths) * 1_000_000);
        let amounts = Decimal128Array::from_iter_values(amounts);
        Ok(Arc::new(amounts.with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE)?))
    };
    let known = rows.iter().map(|row| i64::from(FIRST_DAY + row.known_on) * DAY_US);
    let known = TimestampMicrosecondArray::from_iter_values(known).with_timezone("UTC");
    let mut columns: BTreeMap<&str, ArrayRef> = BTreeMap::from([
        (ENTITY_ID, text(&|row| Some(format!("account-{}", row.account)))),
        (TS, Arc::new(known) as ArrayRef),
        (OFFSET, Arc::new(UInt64Array::from_iter_values(first..first + rows.len() as u64))),
        (PROVIDER, same("simulated")),
        (BILLING_ACCOUNT, same("payer")),
        (SERVICE, text(&|row| Some(format!("service-{}", row.service)))),
        (REGION, text(&|row| Some(format!("region-{}", row.region)))),
        (CHARGE_CATEGORY, same("Usage")),
        (CHARGE_CLASS, text(&|row| row.corrects.then(|| "Correction".to_owned()))),
        (DAY, Arc::new(Date32Array::from_iter_values(rows.iter().map(|r| FIRST_DAY + r.day)))),
        (CURRENCY, same("USD")),
        (VERSION, Arc::new(Int64Array::from_value(0, rows.len()))),
    ]);
    columns.insert(BILLED_COST, amounts()?);
    columns.insert(EFFECTIVE_COST, amounts()?);
    let schema = cost::schema();
    let columns = schema.fields().iter().map(|field| {
        let known = columns.remove(field.name().as_str());
        known.unwrap_or_else(|| new_null_array(field.data_type(), rows.len()))
    });
    Ok(RecordBatch::try_new(Arc::clone(&schema), columns.collect())?)
}
