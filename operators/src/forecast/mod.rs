//! What accounts will be charged: their days so far to those to come.
//!
//! On one day of every so many, once all days before it have closed, each account with charges in the
//! week before is forecast by a [`Forecaster`] from its days as they were known then
//! ([`crate::anomaly`] reads them the same way), so what is said does not depend on how the input was
//! cut into epochs, nor on what came later. What is said once stands: it is what was believed then, and
//! the next forecast is made from what has been restated.

use std::fmt;

use arrow::array::RecordBatch;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::account::change::Changes;
use crate::account::days::{Days, Origin};
use crate::account::units;
use crate::bill::key::{Symbol, Symbols};
use crate::bill::month_of;
use crate::key::{SHARDS, Shard};
use crate::schema::cost::{DAY_US, EFFECTIVE_COST, day_of};
use crate::watermark::Watermark;
use crate::{Error, Result};

mod rows;
mod snapshot;
#[cfg(test)]
mod tests;

pub use rows::*;

/// When and what is forecast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForecastConfig {
    /// Days from one forecast to the next; 7 are Mondays. Default: 7.
    pub every_days: u32,
    /// Days ahead. Default: 90.
    pub horizon_days: u32,
    /// Days looked back on at most. Default: 800.
    pub history_days: u32,
    /// An account is first forecast when it has been known for so many days. Default: 28.
    pub min_history_days: u32,
    /// Models to choose from, by how far off each was before. Default: `seasonal-naive`, `robust`,
    /// `bilstm`; there are `ets`, `theta` and `prophet` too, which take longer.
    pub candidates: Vec<String>,
    /// Seeds models that draw numbers. Default: 1.
    pub seed: u64,
}

impl Default for ForecastConfig {
    fn default() -> Self {
        Self {
            every_days: 7,
            horizon_days: 90,
            history_days: 800,
            min_history_days: 28,
            candidates: ["seasonal-naive", "robust", "bilstm"].map(str::to_owned).to_vec(),
            seed: 1,
        }
    }
}

impl ForecastConfig {
    /// Checks the settings but for the candidates' names.
    ///
    /// # Errors
    /// [`Error::Configuration`] naming the field.
    pub fn validate(&self) -> Result<()> {
        let within = |name: &str, value: u32, least: u32, most: u32| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(Error::Configuration(format!("{name} is {value}: {least} to {most}")))
        };
        within("every_days", self.every_days, 1, 365)?;
        within("horizon_days", self.horizon_days, 1, 365)?;
        within("history_days", self.history_days, 28, 4_000)?;
        within("min_history_days", self.min_history_days, 7, self.history_days)?;
        if self.candidates.is_empty() {
            return Err(Error::Configuration("candidates: name at least one model".to_owned()));
        }
        Ok(())
    }
}

/// One day ahead, in the currency.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DayAhead {
    /// One in ten outcomes lies below, half of them, nine in ten.
    pub quantiles: [f64; 3],
    /// The same of the total from the first day ahead to this one.
    pub totals: [f64; 3],
    /// What a seasonal model makes of it: trend, and effects of the week, the month, the year and of
    /// holidays; they sum to its own expectation.
    pub components: Option<[f64; 5]>,
}

/// What is said of an account.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ahead {
    /// The days ahead, in order.
    pub days: Vec<DayAhead>,
    /// The candidate that was chosen.
    pub chosen: String,
    /// Every candidate, and how far off it was before, as a share of the series; `None` where nothing
    /// was to be judged.
    pub candidates: Vec<(String, Option<f64>)>,
}

/// Continues an account's days.
///
/// The implementer promises to be a pure function of what it is given.
pub trait Forecaster {
    /// Its version: another one may say something else of the same days.
    fn version(&self) -> &str;

    /// The days after `values`, whose first is of `first_day` (since 1970-01-01).
    ///
    /// # Errors
    /// [`Error::Model`] when a model fails.
    fn ahead(&mut self, first_day: i32, values: &[f64]) -> Result<Ahead>;
}

/// One account's days in one currency.
#[derive(Debug, Clone, Default)]
struct Unit {
    entity: Symbol,
    currency: Symbol,
    days: Days,
    /// Forecasts due till this day have been made.
    done_to: i32,
    /// Whether anything has changed since the last checkpoint.
    changed: bool,
}

/// A forecast to be written.
struct Said {
    place: u32,
    /// The first day ahead.
    from: i32,
    origin: Origin,
    /// What the month of the first day ahead came to so far, in units of 10⁻¹².
    spent: i128,
    ahead: Ahead,
}

/// The operator: forecasts.
pub struct Forecasts {
    config: ForecastConfig,
    /// Whole days of allowed lateness.
    lateness: i32,
    forecaster: Box<dyn Forecaster>,
    symbols: Symbols,
    units: Vec<Unit>,
    places: HashMap<(Symbol, Symbol), u32>,
    shards: Vec<Vec<u32>>,
}

impl fmt::Debug for Forecasts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forecasts").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A Monday: forecasts are due in whole periods from it.
const MONDAY: i32 = 4;
/// An account without a charge for longer is not forecast.
const ACTIVE_DAYS: i32 = 7;

impl Forecasts {
    /// An operator that knows of no charge, for a stream whose days close `lateness_us` after their
    /// end.
    ///
    /// # Errors
    /// [`Error::Configuration`] as [`ForecastConfig::validate`].
    pub fn new(
        config: &ForecastConfig,
        lateness_us: i64,
        forecaster: Box<dyn Forecaster>,
    ) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            config: config.clone(),
            lateness: (lateness_us / DAY_US) as i32,
            forecaster,
            symbols: Symbols::default(),
            units: Vec::new(),
            places: HashMap::new(),
            shards: vec![Vec::new(); SHARDS],
        })
    }

    /// Takes up changes of totals ([`crate::bill::change_schema`]).
    ///
    /// # Errors
    /// [`Error::Column`] when they are not of that schema, or a sum exceeds 128 bits.
    pub fn push(&mut self, changes: &RecordBatch) -> Result<()> {
        let columns = Changes::of(changes, &mut self.symbols)?;
        for row in 0..changes.num_rows() {
            let change = columns.change(row);
            let place = self.place(change.entity, change.currency);
            let unit = &mut self.units[place as usize];
            unit.changed = true;
            if change.late_on.is_none() {
                unit.days.facts.entry(change.day).or_default().add(change.origin, None);
            }
            unit.days.add((change.day, change.late_on, change.amount)).ok_or_else(|| {
                Error::Column {
                    column: EFFECTIVE_COST.to_owned(),
                    expected: "sums within Decimal128(38, 12)".to_owned(),
                    found: "more on one day".to_owned(),
                }
            })?;
        }
        Ok(())
    }

    /// Makes the forecasts that are due by the watermark: rows of days ahead ([`forecast_schema`]) and
    /// of choices ([`choice_schema`]), or none.
    ///
    /// # Errors
    /// The forecaster's.
    pub fn advance(&mut self, watermark: Watermark) -> Result<Option<(RecordBatch, RecordBatch)>> {
        let end = day_of(watermark.0);
        let mut said = Vec::new();
        for place in 0..self.units.len() {
            for due in self.due(&self.units[place], end) {
                said.extend(self.forecast(place as u32, due)?);
            }
            let unit = &mut self.units[place];
            unit.done_to = unit.done_to.max(end);
            unit.days.forget_before(end.saturating_sub(self.config.history_days as i32 + 1));
        }
        if said.is_empty() {
            return Ok(None);
        }
        let ranks = self.symbols.ranks().to_vec();
        said.sort_by_key(|said: &Said| {
            let unit = &self.units[said.place as usize];
            (ranks[unit.entity as usize], ranks[unit.currency as usize], said.from)
        });
        self.rows(&said).map(Some)
    }

    /// Days on which a forecast of a unit is due, after those done and up to `end`.
    fn due(&self, unit: &Unit, end: i32) -> Vec<i32> {
        let every = self.config.every_days as i32;
        let mut days = unit.days.history.days(unit.done_to.saturating_sub(ACTIVE_DAYS), end);
        let Some(first) = days.next() else { return Vec::new() };
        let last = days.last().unwrap_or(first);
        let from = unit.done_to.max(first) + 1;
        let to = end.min(last + ACTIVE_DAYS);
        let next = from + (MONDAY - from).rem_euclid(every);
        (next..=to).step_by(every as usize).collect()
    }

    /// The forecast due on a day; `None` where too little is known, or the account has ceased.
    fn forecast(&mut self, place: u32, due: i32) -> Result<Option<Said>> {
        let unit = &mut self.units[place as usize];
        let days = &unit.days;
        let mut known = days.history.days(due - self.config.history_days as i32, due);
        let Some(first) = known.next() else { return Ok(None) };
        let last = known.last().unwrap_or(first);
        if last < due - ACTIVE_DAYS || due - first < self.config.min_history_days as i32 {
            return Ok(None);
        }
        let known_by = (due - 1).saturating_add(self.lateness);
        let amount = |day| units(days.history.known_by(day, known_by).unwrap_or_default());
        let values: Vec<f64> = (first..=last).map(amount).collect();
        let origins = days.facts.range(first..=last).filter_map(|(_, facts)| facts.on_time);
        let Some(origin) = origins.reduce(Origin::with) else { return Ok(None) };
        let month = month_of(last + 1).1.start;
        let so_far = (month..=last).filter_map(|day| days.history.known_by(day, known_by));
        let spent = so_far.sum();
        unit.changed = true;
        let ahead = self.forecaster.ahead(first, &values)?;
        Ok(Some(Said { place, from: last + 1, origin, spent, ahead }))
    }

    /// Where an account's days in a currency are; a new one is empty.
    fn place(&mut self, entity: Symbol, currency: Symbol) -> u32 {
        if let Some(place) = self.places.get(&(entity, currency)) {
            return *place;
        }
        let place = self.units.len() as u32;
        let shard = Shard::of(self.symbols.name(entity).unwrap_or_default());
        self.units.push(Unit { entity, currency, done_to: i32::MIN, ..Unit::default() });
        self.places.insert((entity, currency), place);
        self.shards[usize::from(shard.0)].push(place);
        place
    }
}
