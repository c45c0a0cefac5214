//! Forecasts as rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, RecordBatch, StringArray,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{DayAhead, Forecasts, Said};
use crate::Result;
use crate::account::amount;
use crate::bill::month_of;
use crate::schema::ENTITY_ID;
use crate::schema::cost::{CURRENCY, DAY, money, money_array};
use crate::schema::result::{MODEL, MODEL_VERSION, OFFSET_FROM, OFFSET_TO, PARTITION};

/// The last day that was known; `Date32`.
pub const KNOWN_TO: &str = "known_to";
/// Days from there to the day forecast; `Int32`.
pub const DAYS_AHEAD: &str = "days_ahead";
/// What the day's calendar month came to up to the last day known; money.
pub const SPENT: &str = "spent";
/// Quantiles of the day, then of the total from the first day ahead to it; money.
pub const QUANTILES: [&str; 6] = ["p10", "p50", "p90", "total_p10", "total_p50", "total_p90"];
/// What a seasonal model makes of the day; money, null where none was asked.
pub const COMPONENTS: [&str; 5] = ["trend", "weekly", "monthly", "yearly", "holidays"];

/// A model to choose from; `Utf8`.
pub const CANDIDATE: &str = "candidate";
/// How far off its totals were before, as a share of the series; `Float64`, null where nothing was to
/// be judged.
pub const ERROR: &str = "error";
/// Whether it was chosen; `Boolean`.
pub const IS_CHOSEN: &str = "is_chosen";

fn key_fields() -> Vec<Field> {
    let field = |name: &str, kind| Field::new(name, kind, false);
    vec![
        field(PARTITION, DataType::UInt32),
        field(OFFSET_FROM, DataType::UInt64),
        field(OFFSET_TO, DataType::UInt64),
        field(ENTITY_ID, DataType::Utf8),
        field(CURRENCY, DataType::Utf8),
        field(KNOWN_TO, DataType::Date32),
    ]
}

/// The columns of days ahead.
#[must_use]
pub fn forecast_schema() -> SchemaRef {
    let field = |name: &str, kind| Field::new(name, kind, false);
    let mut fields = key_fields();
    fields.extend([
        field(DAY, DataType::Date32),
        field(DAYS_AHEAD, DataType::Int32),
        field(SPENT, money()),
    ]);
    fields.extend(QUANTILES.map(|name| field(name, money())));
    fields.extend(COMPONENTS.map(|name| Field::new(name, money(), true)));
    fields.extend([field(MODEL, DataType::Utf8), field(MODEL_VERSION, DataType::Utf8)]);
    Arc::new(Schema::new(fields))
}

/// The columns of choices.
#[must_use]
pub fn choice_schema() -> SchemaRef {
    let field = |name: &str, kind| Field::new(name, kind, false);
    let mut fields = key_fields();
    fields.extend([
        field(CANDIDATE, DataType::Utf8),
        Field::new(ERROR, DataType::Float64, true),
        field(IS_CHOSEN, DataType::Boolean),
        field(MODEL_VERSION, DataType::Utf8),
    ]);
    Arc::new(Schema::new(fields))
}

impl Forecasts {
    /// The rows of forecasts, and of what they were chosen from.
    pub(super) fn rows(&self, said: &[Said]) -> Result<(RecordBatch, RecordBatch)> {
        let days: Vec<(&Said, usize, &DayAhead)> = said
            .iter()
            .flat_map(|said| said.ahead.days.iter().enumerate().map(move |(at, d)| (said, at, d)))
            .collect();
        let mut columns = self.keys(days.iter().map(|(said, ..)| *said));
        columns.extend([
            Arc::new(Date32Array::from_iter_values(
                days.iter().map(|(said, at, _)| said.from + *at as i32),
            )) as ArrayRef,
            Arc::new(Int32Array::from_iter_values(days.iter().map(|(_, at, _)| *at as i32 + 1))),
        ]);
        let spent = |said: &Said, at: usize| {
            let is_first = month_of(said.from + at as i32) == month_of(said.from);
            if is_first { said.spent } else { 0 }
        };
        columns.push(money_array(days.iter().map(|(said, at, _)| Some(spent(said, *at))))?);
        for at in 0..QUANTILES.len() {
            let value =
                |day: &DayAhead| if at < 3 { day.quantiles[at] } else { day.totals[at - 3] };
            columns.push(money_array(days.iter().map(|(_, _, day)| Some(amount(value(day)))))?);
        }
        for at in 0..COMPONENTS.len() {
            let part = |day: &DayAhead| day.components.map(|parts| amount(parts[at]));
            columns.push(money_array(days.iter().map(|(_, _, day)| part(day)))?);
        }
        let chosen = days.iter().map(|(said, ..)| said.ahead.chosen.as_str());
        columns.push(Arc::new(StringArray::from_iter_values(chosen)));
        columns.push(self.version(days.len()));
        let ahead = RecordBatch::try_new(forecast_schema(), columns)?;

        let choices: Vec<(&Said, &(String, Option<f64>))> = said
            .iter()
            .flat_map(|said| said.ahead.candidates.iter().map(move |candidate| (said, candidate)))
            .collect();
        let mut columns = self.keys(choices.iter().map(|(said, _)| *said));
        let is_chosen = choices.iter().map(|(said, (name, _))| Some(said.ahead.chosen == *name));
        columns.extend([
            Arc::new(StringArray::from_iter_values(choices.iter().map(|(_, (name, _))| name)))
                as ArrayRef,
            Arc::new(choices.iter().map(|(_, (_, error))| *error).collect::<Float64Array>()),
            Arc::new(is_chosen.collect::<BooleanArray>()),
            self.version(choices.len()),
        ]);
        Ok((ahead, RecordBatch::try_new(choice_schema(), columns)?))
    }

    /// The columns of [`key_fields`].
    fn keys<'a>(&self, said: impl Iterator<Item = &'a Said> + Clone) -> Vec<ArrayRef> {
        let unit = |said: &Said| &self.units[said.place as usize];
        let name = |symbol| self.symbols.name(symbol).unwrap_or_default();
        let (entities, currencies) = (
            said.clone().map(|said| name(unit(said).entity)),
            said.clone().map(|said| name(unit(said).currency)),
        );
        vec![
            Arc::new(UInt32Array::from_iter_values(said.clone().map(|s| s.origin.partition))),
            Arc::new(UInt64Array::from_iter_values(said.clone().map(|s| s.origin.from))),
            Arc::new(UInt64Array::from_iter_values(said.clone().map(|s| s.origin.to))),
            Arc::new(StringArray::from_iter_values(entities)),
            Arc::new(StringArray::from_iter_values(currencies)),
            Arc::new(Date32Array::from_iter_values(said.map(|said| said.from - 1))),
        ]
    }

    fn version(&self, rows: usize) -> ArrayRef {
        let version = self.forecaster.version();
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(version, rows)))
    }
}
