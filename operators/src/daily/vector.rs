//! A closed day as a vector.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{Field, Schema};

use super::{Lines, Sum, too_large};
use crate::Result;
use crate::schema::cost::DAY_US;
use crate::schema::result::{FEATURES, window_key_fields};
use crate::schema::{vector, vector_array};

/// Days before a day that its total is compared with.
const HISTORY_DAYS: i32 = 7;

/// Features after those of the services: other, total, three ratios, entropy, weekday (2), charges.
pub(super) const TRAILING: [&str; 9] = [
    "other",
    "total",
    "day_over_day",
    "against_week",
    "days_known",
    "share_entropy",
    "weekday_sin",
    "weekday_cos",
    "charges",
];

/// The window batch, as it is built.
#[derive(Default)]
pub(super) struct Vectors {
    entities: Vec<String>,
    days: Vec<i32>,
    origins: Vec<Sum>,
    features: Vec<f32>,
}

impl Vectors {
    pub(super) fn push(
        &mut self,
        services: &[String],
        day: i32,
        entity: &str,
        lines: &Lines,
        history: &mut BTreeMap<i32, i128>,
    ) -> Result<()> {
        let mut whole: Option<Sum> = None;
        let mut by_currency: BTreeMap<&str, i128> = BTreeMap::new();
        for (line, sum) in lines {
            let failed = || too_large(entity, line);
            match &mut whole {
                Some(whole) => whole.add(sum).ok_or_else(failed)?,
                None => whole = Some(*sum),
            }
            let spent = by_currency.entry(&line.currency).or_default();
            *spent = spent.checked_add(sum.effective.saturating_abs()).ok_or_else(failed)?;
        }
        let Some(whole) = whole else { return Ok(()) };
        // Currencies never add up. An account is billed in one; where there are several, the
        // features describe the one most is spent in (the first by name of equals).
        let currency = by_currency.iter().rev().max_by_key(|(_, spent)| **spent);
        let mut amounts = vec![0i128; services.len() + 1];
        for (line, sum) in
            lines.iter().filter(|(line, _)| Some(line.currency.as_str()) == currency.map(|c| *c.0))
        {
            let at = services.iter().position(|s| *s == line.service).unwrap_or(services.len());
            amounts[at] =
                amounts[at].checked_add(sum.effective).ok_or_else(|| too_large(entity, line))?;
        }
        self.describe(day, &amounts, whole.charges, history);
        self.entities.push(entity.to_owned());
        self.days.push(day);
        self.origins.push(whole);
        Ok(())
    }

    /// The features of a day from its amounts by service, and the day into the history.
    fn describe(
        &mut self,
        day: i32,
        amounts: &[i128],
        charges: i64,
        history: &mut BTreeMap<i32, i128>,
    ) {
        // Refunds make amounts negative: asinh is a logarithm that takes both signs.
        self.features.extend(amounts.iter().map(|amount| units(*amount).asinh() as f32));
        let total: i128 = amounts.iter().fold(0, |a, b| a.saturating_add(*b));
        *history = history.split_off(&(day - HISTORY_DAYS));
        let log = units(total).asinh();
        let yesterday = history.get(&(day - 1)).map_or(log, |spent| units(*spent).asinh());
        let known = history.len();
        let mean = if known == 0 {
            log
        } else {
            history.values().map(|spent| units(*spent).asinh()).sum::<f64>() / known as f64
        };
        // 1970-01-01 was a Thursday; Monday is 0.
        let weekday = f64::from((day + 3).rem_euclid(7)) * std::f64::consts::TAU / 7.0;
        let trailing = [
            log,
            log - yesterday,
            log - mean,
            known as f64 / f64::from(HISTORY_DAYS),
            entropy(amounts),
            weekday.sin(),
            weekday.cos(),
            (charges.max(0) as f64).ln_1p(),
        ];
        self.features.extend(trailing.iter().map(|value| *value as f32));
        history.insert(day, total);
    }

    pub(super) fn finish(self, width: usize) -> Result<Option<RecordBatch>> {
        if self.entities.is_empty() {
            return Ok(None);
        }
        let instants = |after: i64| -> ArrayRef {
            let days = self.days.iter().map(|day| (i64::from(*day) + after) * DAY_US);
            Arc::new(TimestampMicrosecondArray::from_iter_values(days).with_timezone("UTC"))
        };
        let number = |of: fn(&Sum) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(self.origins.iter().map(of)))
        };
        let small = |of: fn(&Sum) -> u32| -> ArrayRef {
            Arc::new(UInt32Array::from_iter_values(self.origins.iter().map(of)))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(&self.entities)),
            instants(0),
            instants(1),
            small(|origin| origin.partition),
            number(|origin| origin.from),
            number(|origin| origin.to),
            small(|origin| u32::try_from(origin.charges.max(0)).unwrap_or(u32::MAX)),
            Arc::new(vector_array(width, self.features)),
        ];
        let mut fields = window_key_fields();
        fields.push(Field::new(FEATURES, vector(width), false));
        Ok(Some(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?))
    }
}

/// An amount in whole units of its currency.
fn units(amount: i128) -> f64 {
    amount as f64 / 1e12
}

/// How evenly spending is spread over the services: Shannon entropy of their shares, nats.
fn entropy(amounts: &[i128]) -> f64 {
    let total: f64 = amounts.iter().map(|amount| units((*amount).max(0))).sum();
    let parts = amounts.iter().filter(|amount| **amount > 0).map(|amount| units(*amount) / total);
    parts.map(|share| -share * share.ln()).sum()
}
