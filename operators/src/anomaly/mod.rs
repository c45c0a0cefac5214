//! Days that came to more or less than the days before let expect, what of them did, and what became
//! of it when the bill was corrected.
//!
//! A day of an account and currency is judged once it has closed: by what was known of it then,
//! against an [`expectation`](self) from the days before as they were known then. The difference in
//! money is divided among the names of every dimension that totals are told apart by; each
//! dimension's rows sum to it exactly. Where the whole was not strange, each service is judged alone:
//! what is small beside an account may be large for what it is of. Whether a day is strange and whether
//! that is worth looking at are two questions: the first is answered by the usual error, the second by
//! an amount.
//!
//! **Corrections.** What becomes known later changes the day's amount and not what was expected of
//! it. Where the day has thereby become usual, its anomaly is *retracted*, in the epoch in which the
//! correction came; where a restatement makes a usual day strange, it is opened then.
//!
//! **Alerts.** Strange days in a row that are worth looking at are an alert ([`Anomalies::take_alerts`]).
//!
//! **Feedback.** What somebody said of an anomaly ([`Label`]) bears on days that close after it was
//! said and are compared with that day.
//!
//! **Cuts.** Everything said of a day follows from what was known of the days before by then, and from
//! the sum of what came later, so the last row of an anomaly is the same however the input was cut
//! into epochs.

use arrow::array::RecordBatch;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::account::change::{Change, Changes};
use crate::bill::key::{Symbol, Symbols};
use crate::key::{SHARDS, Shard};
use crate::schema::cost::{DAY_US, day_of};
use crate::watermark::Watermark;
use crate::{Error, Result};

mod alerts;
mod causes;
mod expectation;
mod label;
mod rows;
mod snapshot;
#[cfg(test)]
mod tests;
mod unit;

use alerts::Told;
pub use alerts::{ALERT_MODEL, RETRACTED, alert_schema};
use label::Known;
pub use label::{Feedback, Label};
pub use rows::*;
use unit::{Record, Scope, Unit};

/// How days are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnomalyConfig {
    /// A day is strange where it is more than this many usual errors off, and one service alone where
    /// it is half as many more. Default: 4.
    pub sensitivity: f64,
    /// Strange days that are less than this off, in the currency, are marked as not worth looking at.
    /// Default: 1.
    pub min_impact: f64,
    /// Days that an expectation is made from. Default: 98.
    pub history_days: u32,
    /// Of these, days with charges that there must be. Default: 21.
    pub min_history_days: u32,
    /// For how many days after its end a day's charges may be restated and its anomaly with them;
    /// what comes later changes totals alone, and state that old is forgotten. Default: 92.
    pub restated_days: u32,
}

impl Default for AnomalyConfig {
    fn default() -> Self {
        Self {
            sensitivity: 4.0,
            min_impact: 1.0,
            history_days: 98,
            min_history_days: 21,
            restated_days: 92,
        }
    }
}

impl AnomalyConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Configuration`] naming the field.
    pub fn validate(&self) -> Result<()> {
        let refused = |what: String| Err(Error::Configuration(what));
        if !(self.sensitivity > 0.0 && self.sensitivity.is_finite()) {
            return refused(format!("sensitivity is {}: above 0", self.sensitivity));
        }
        if !(0.0..=1e15).contains(&self.min_impact) {
            return refused(format!("min_impact is {}: an amount from 0 on", self.min_impact));
        }
        if !(14..=800).contains(&self.history_days) {
            return refused(format!("history_days is {}: 14 to 800", self.history_days));
        }
        if !(7..=self.history_days).contains(&self.min_history_days) {
            return refused(format!(
                "min_history_days is {}: 7 to history_days, which is {}",
                self.min_history_days, self.history_days
            ));
        }
        if self.restated_days > 3_650 {
            return refused(format!("restated_days is {}: 3650 at most", self.restated_days));
        }
        Ok(())
    }
}

/// The settings as the operator needs them.
#[derive(Debug, Clone, Copy)]
struct Rules {
    sensitivity: f64,
    /// In units of 10⁻¹².
    min_impact: i128,
    history: i32,
    min_history: usize,
    restated: i32,
    /// Whole days of allowed lateness: a day closes when so many more have passed.
    lateness: i32,
}

/// What is judged: a day of an account and currency, all of it or one service alone. Ordered as
/// results are, but for names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Judged {
    /// Which unit.
    place: u32,
    day: i32,
    scope: Scope,
}

/// The operator: judges days.
#[derive(Debug, Clone)]
pub struct Anomalies {
    stream: String,
    rules: Rules,
    symbols: Symbols,
    units: Vec<Unit>,
    places: HashMap<(Symbol, Symbol), u32>,
    /// By shard: its units.
    shards: Vec<Vec<u32>>,
    /// What was said of days, by account and currency.
    labels: HashMap<(Symbol, Symbol), Vec<(Scope, Known)>>,
    /// Days judged before that this epoch brings something of: what was said of them till now.
    touched: HashMap<Judged, Option<Record>>,
    /// What became of alerts in this epoch.
    alerts: Option<RecordBatch>,
}

impl Anomalies {
    /// An operator that knows of no charge, for a stream whose days close `lateness_us` after their
    /// end.
    ///
    /// # Errors
    /// [`Error::Configuration`] as [`AnomalyConfig::validate`].
    pub fn new(stream: &str, config: &AnomalyConfig, lateness_us: i64) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            stream: stream.to_owned(),
            rules: Rules {
                sensitivity: config.sensitivity,
                min_impact: (config.min_impact * 1e6).round() as i128 * 1_000_000,
                history: config.history_days as i32,
                min_history: config.min_history_days as usize,
                restated: config.restated_days as i32,
                lateness: (lateness_us / DAY_US) as i32,
            },
            symbols: Symbols::default(),
            units: Vec::new(),
            places: HashMap::new(),
            shards: vec![Vec::new(); SHARDS],
            labels: HashMap::new(),
            touched: HashMap::new(),
            alerts: None,
        })
    }

    /// Takes note of what was said of a day; of an account that is kept elsewhere, without effect.
    pub fn label(&mut self, label: &Label) {
        let account = (self.symbols.of(&label.entity), self.symbols.of(&label.currency));
        let service = label.service.as_deref().map(|service| self.symbols.of(service));
        let scope = service.map_or(Scope::Total, Scope::Service);
        let known = (scope, Known::of(label));
        self.labels.entry(account).or_default().push(known);
        if let Some(place) = self.places.get(&account) {
            self.units[*place as usize].labels.push(known);
        }
    }

    /// Takes up changes of totals ([`crate::bill::change_schema`]).
    ///
    /// # Errors
    /// [`Error::Column`] when they are not of that schema, or a sum exceeds `Decimal128(38, 12)`.
    pub fn push(&mut self, changes: &RecordBatch) -> Result<()> {
        let input = Changes::of(changes, &mut self.symbols)?;
        for row in 0..changes.num_rows() {
            let change = input.change(row);
            if change.late_on.is_some_and(|known| known - change.day > self.rules.restated) {
                continue;
            }
            let place = self.place(change.entity, change.currency);
            self.touch(place, &change);
            self.units[place as usize].take(&change).ok_or_else(|| Error::Column {
                column: crate::schema::cost::EFFECTIVE_COST.to_owned(),
                expected: "sums within Decimal128(38, 12)".to_owned(),
                found: "more on one day".to_owned(),
            })?;
        }
        Ok(())
    }

    /// Keeps what was said till now of a day that a change restates.
    fn touch(&mut self, place: u32, change: &Change) {
        let unit = &self.units[place as usize];
        if change.day >= unit.judged_to || change.late_on.is_none() {
            return;
        }
        for scope in [Scope::Total, Scope::Service(change.service)] {
            let judged = Judged { place, day: change.day, scope };
            self.touched
                .entry(judged)
                .or_insert_with(|| unit.judge(change.day, scope, &self.rules));
        }
    }

    /// Judges the days that end at or before the watermark, and again those whose amount has changed
    /// since: rows of anomalies ([`anomaly_schema`]) and of their causes ([`cause_schema`]), or none.
    ///
    /// # Errors
    /// Only where Arrow refuses to build a batch, which is a bug.
    pub fn advance(&mut self, watermark: Watermark) -> Result<Option<(RecordBatch, RecordBatch)>> {
        let mut found = Vec::new();
        for (judged, before) in std::mem::take(&mut self.touched) {
            let unit = &self.units[judged.place as usize];
            let Some(now) = unit.judge(judged.day, judged.scope, &self.rules) else { continue };
            let was_off = before.is_some_and(|before| before.is_off());
            // What it rests on has changed, even where what came later adds up to nothing.
            if was_off || now.is_off() {
                found.push((judged, now));
            }
        }
        let end = day_of(watermark.0);
        let mut told: Vec<(u32, Told)> = Vec::new();
        for (place, unit) in self.units.iter_mut().enumerate() {
            let place = place as u32;
            let (off, alerts) = unit.judge_closing(end, &self.rules);
            let judged = |(day, scope, record)| (Judged { place, day, scope }, record);
            found.extend(off.into_iter().map(judged));
            told.extend(alerts.into_iter().map(|told| (place, told)));
        }
        self.alerts = if told.is_empty() { None } else { Some(self.alert_rows(told)?) };
        let rows = if found.is_empty() { None } else { Some(self.said(found)?) };
        for unit in &mut self.units {
            unit.close(end, &self.rules);
        }
        Ok(rows)
    }

    /// The alerts that were opened, closed or retracted by the last [`Anomalies::advance`]
    /// ([`alert_schema`]).
    pub fn take_alerts(&mut self) -> Option<RecordBatch> {
        self.alerts.take()
    }

    /// What is to be said of days, in order.
    fn said(&mut self, mut found: Vec<(Judged, Record)>) -> Result<(RecordBatch, RecordBatch)> {
        let ranks = self.symbols.ranks().to_vec();
        found.sort_by_key(|(Judged { place, day, scope }, _)| {
            let unit = &self.units[*place as usize];
            let service = scope.service().map(|service| ranks[service as usize]);
            (ranks[unit.entity as usize], *day, ranks[unit.currency as usize], service)
        });
        self.rows(&found)
    }

    /// Accounts, and totals of a day that are kept.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.units.len(), self.units.iter().map(Unit::len).sum())
    }

    /// Where an account's charges in a currency are; a new one is empty.
    fn place(&mut self, entity: Symbol, currency: Symbol) -> u32 {
        if let Some(place) = self.places.get(&(entity, currency)) {
            return *place;
        }
        let place = self.units.len() as u32;
        let shard = Shard::of(self.symbols.name(entity).unwrap_or_default());
        let labels = self.labels.get(&(entity, currency)).cloned().unwrap_or_default();
        self.units.push(Unit::new(entity, currency, labels));
        self.places.insert((entity, currency), place);
        self.shards[usize::from(shard.0)].push(place);
        place
    }
}
