//! Events worth looking at as alerts: opened, closed, and retracted where a correction undoes them.
//!
//! An *event* is a run of strange days of one account or service, all above or all below. Its alert opens
//! on the first of them that was off by the least amount worth looking at, and closes on the first day
//! behind the run that is judged. Both are decided by what was known when these days closed, and so by
//! nothing that comes later. Where corrections leave none of its days strange, the alert is *retracted*:
//! on the first day, from its close on, by the end of which that was known. An alert that a correction
//! alone would have raised is none; `cost_anomalies` tells of it.
//!
//! **Cuts.** What was known by the end of a day is whole once every partition's clock has left that day,
//! so a retraction waits for that, and its row is the same in whatever epochs the correction came.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::rows::id;
use super::unit::{EVENT_DAYS, Record, Scope, Unit};
use super::{Anomalies, LEVEL_MODEL, LEVEL_VERSION, Rules};
use crate::Result;
use crate::account::days::Origin;
use crate::schema::cost::DAY_US;
use crate::schema::result::{
    ALERT_ID, MODEL, MODEL_VERSION, OFFSET_FROM, OFFSET_TO, PARTITION, SCORE, WINDOW_END,
    WINDOW_START,
};
use crate::schema::{ENTITY_ID, timestamp};
use crate::threshold::{CLOSED, OPENED};

/// The name under which these alerts stand in results; their version says by which expectation.
pub const ALERT_MODEL: &str = "cost-anomaly";
/// What of an alert says that corrections have left nothing of it.
pub const RETRACTED: &str = "retracted";

/// The columns of alerts: those of the table `alerts` but for epoch and source.
#[must_use]
pub fn alert_schema() -> SchemaRef {
    let field = |name: &str, kind| Field::new(name, kind, false);
    Arc::new(Schema::new(vec![
        field(PARTITION, DataType::UInt32),
        field(OFFSET_FROM, DataType::UInt64),
        field(OFFSET_TO, DataType::UInt64),
        field(ALERT_ID, DataType::Utf8),
        field("event", DataType::Utf8),
        field("kind", DataType::Utf8),
        field(ENTITY_ID, DataType::Utf8),
        field("at", timestamp()),
        field(WINDOW_START, timestamp()),
        field(WINDOW_END, timestamp()),
        field(MODEL, DataType::Utf8),
        field(MODEL_VERSION, DataType::Utf8),
        field(SCORE, DataType::Float32),
        field("threshold", DataType::Float32),
        Field::new("top_channel", DataType::Utf8, true),
    ]))
}

/// A run of strange days, as long as anything may become of its alert.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub(super) scope: Scope,
    /// Whether its days came to more than expected.
    pub(super) above: bool,
    pub(super) first: i32,
    pub(super) last: i32,
    /// The day that opened its alert.
    pub(super) opened: Option<i32>,
    /// The day that closed it.
    pub(super) closed: Option<i32>,
    /// What was known by the end of days before this one has been looked at. A restart looks again, and
    /// finds nothing there.
    pub(super) looked_to: i32,
}

/// A day that is strange, or was.
pub(super) type Off = (i32, Scope, Record);

/// What became of an alert.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    event: &'static str,
    scope: Scope,
    /// The event's first day.
    first: i32,
    /// The day that is told of.
    day: i32,
    /// The day at whose end it came about.
    on: i32,
    record: Record,
    /// What the day came to then.
    amount: i128,
}

impl Told {
    /// How far off the day was, and how far is strange, in usual errors.
    fn score(&self) -> (f32, f32) {
        let Record { expected, scale, lower, upper, .. } = self.record;
        let off = self.amount - expected;
        let limit = if off < 0 { expected - lower } else { upper - expected };
        let errors = |amount: i128| (amount as f64 / scale as f64) as f32;
        (errors(off.abs()), errors(limit))
    }
}

impl Unit {
    /// Judges the days that have closed: those there is something to be said of, and what became of alerts.
    pub(super) fn judge_closing(&mut self, end: i32, rules: &Rules) -> (Vec<Off>, Vec<Told>) {
        let (mut off, mut told) = (Vec::new(), Vec::new());
        let mut events = std::mem::take(&mut self.events);
        let scopes: Vec<Scope> = self.scopes().collect();
        for day in self.closing(end) {
            for scope in &scopes {
                let record = self.judge(day, *scope, rules);
                off.extend(record.filter(Record::is_off).map(|record| (day, *scope, record)));
                self.follow(&mut events, (day, *scope), record, rules, &mut told);
            }
        }
        let known_to = end.saturating_add(rules.lateness);
        let before = events.len();
        events.retain_mut(|event| {
            let retracted = self.retracted(event, known_to, rules);
            event.looked_to = known_to;
            told.extend(retracted);
            let may_change = event.closed.is_none() || known_to <= event.last + rules.restated;
            retracted.is_none() && may_change
        });
        self.changed |= events.len() < before;
        self.events = events;
        (off, told)
    }

    /// Takes a day's verdict into the event that its scope is in.
    fn follow(
        &self,
        events: &mut Vec<Event>,
        (day, scope): (i32, Scope),
        record: Option<Record>,
        rules: &Rules,
        told: &mut Vec<Told>,
    ) {
        let strange = record.filter(Record::was_strange);
        let above = strange.map(|record| record.at_close > record.expected);
        let say = |event, first, record: Record| Told {
            event,
            scope,
            first,
            day,
            on: day,
            record,
            amount: record.at_close,
        };
        let current =
            events.iter().position(|event| event.scope == scope && event.closed.is_none());
        if let Some(at) = current {
            let event = &mut events[at];
            if above == Some(event.above) && event.last + 1 == day {
                event.last = day;
            } else if event.opened.is_none() {
                events.remove(at);
            } else if let Some(record) = record.or_else(|| self.own(day, scope, rules)) {
                event.closed = Some(day);
                told.push(say(CLOSED, event.first, record));
            }
        }
        let (Some(record), Some(above)) = (strange, above) else { return };
        let current =
            events.iter().position(|event| event.scope == scope && event.closed.is_none());
        let at = current.unwrap_or_else(|| {
            let (opened, closed) = (None, None);
            events.push(Event {
                scope,
                above,
                first: day,
                last: day,
                opened,
                closed,
                looked_to: i32::MIN,
            });
            events.len() - 1
        });
        let event = &mut events[at];
        if event.opened.is_none() && record.impact_at_close() >= rules.min_impact {
            event.opened = Some(day);
            told.push(say(OPENED, event.first, record));
        }
    }

    /// Whether none of an event's days is strange any more by what was known by the end of one of the days
    /// before `known_to`: the first such, from the alert's close on.
    fn retracted(&self, event: &Event, known_to: i32, rules: &Rules) -> Option<Told> {
        let (opened, closed) = (event.opened?, event.closed?);
        let history = self.history(event.scope)?;
        // No more of it can be judged again, as older days may have been forgotten.
        let first = event.first.max(event.last - EVENT_DAYS);
        let over = closed + rules.lateness;
        let known_on = history.late(first..event.last + 1).map(|known_on| known_on.max(over));
        // What is not known by then comes too late, and the days may have been forgotten.
        let end = known_to.min(event.last + rules.restated + 1);
        let moments: BTreeSet<i32> =
            known_on.filter(|moment| *moment >= event.looked_to && *moment < end).collect();
        if moments.is_empty() {
            return None;
        }
        let days =
            (first..=event.last).filter_map(|day| Some((day, self.own(day, event.scope, rules)?)));
        let days: Vec<(i32, Record)> = days.collect();
        let amount = |day, on| history.known_by(day, on).unwrap_or_default();
        let is_usual = |on| days.iter().all(|(day, record)| !record.strange(amount(*day, on)));
        let on = moments.into_iter().find(|on| is_usual(*on))?;
        let (day, record) = *days.iter().find(|(day, _)| *day >= opened)?;
        let Event { scope, first, .. } = *event;
        let amount = amount(day, on);
        Some(Told { event: RETRACTED, scope, first, day, on, record, amount })
    }
}

impl Anomalies {
    /// What became of alerts, as rows in order of account, time and alert.
    pub(super) fn alert_rows(&mut self, mut told: Vec<(u32, Told)>) -> Result<RecordBatch> {
        let ranks = self.symbols.ranks().to_vec();
        let all = &*self;
        let unit = |place: u32| &all.units[place as usize];
        let name = |symbol| all.symbols.name(symbol).unwrap_or_default();
        let alert = |(place, told): &(u32, Told)| id(all, unit(*place), told.first, told.scope);
        told.sort_by_cached_key(|row| {
            (ranks[unit(row.0).entity as usize], row.1.on, alert(row), row.1.event)
        });
        // What it had rested on when the day closed: what came later is with the anomaly.
        let origins = told.iter().map(|(place, told)| {
            let facts = unit(*place).facts(told.day, told.scope);
            facts.on_time.unwrap_or(Origin { partition: 0, from: 0, to: 0 })
        });
        let origins: Vec<Origin> = origins.collect();
        let instant = |of: fn(&Told) -> i32| -> ArrayRef {
            let days = told.iter().map(|(_, told)| i64::from(of(told)) * DAY_US);
            Arc::new(TimestampMicrosecondArray::from_iter_values(days).with_timezone("UTC"))
        };
        let same = |text: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, told.len())))
        };
        let numbers = |of: fn((f32, f32)) -> f32| -> ArrayRef {
            let values = told.iter().map(|(_, told)| of(told.score()));
            Arc::new(Float32Array::from_iter_values(values))
        };
        let entities = told.iter().map(|(place, _)| name(unit(*place).entity));
        let events = told.iter().map(|(_, told)| told.event);
        let top = told.iter().map(|(place, told)| all.strangest(unit(*place), told));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from_iter_values(origins.iter().map(|at| at.partition))),
            Arc::new(UInt64Array::from_iter_values(origins.iter().map(|at| at.from))),
            Arc::new(UInt64Array::from_iter_values(origins.iter().map(|at| at.to))),
            Arc::new(StringArray::from_iter_values(told.iter().map(alert))),
            Arc::new(StringArray::from_iter_values(events)),
            same("cost"),
            Arc::new(StringArray::from_iter_values(entities)),
            instant(|told| told.on + 1),
            instant(|told| told.day),
            instant(|told| told.day + 1),
            same(ALERT_MODEL),
            same(&format!("{LEVEL_MODEL}-{LEVEL_VERSION}")),
            numbers(|(score, _)| score),
            numbers(|(_, limit)| limit),
            Arc::new(top.collect::<StringArray>()),
        ];
        Ok(RecordBatch::try_new(alert_schema(), columns)?)
    }

    /// The service that was farthest off when a day closed; the first by name of several.
    fn strangest(&self, unit: &Unit, told: &Told) -> Option<&str> {
        if let Some(service) = told.scope.service() {
            return self.symbols.name(service);
        }
        let off = unit.services.iter().filter_map(|(service, _)| {
            let own = unit.own(told.day, Scope::Service(*service), &self.rules)?;
            Some((own.impact_at_close(), self.symbols.name(*service)?))
        });
        let off = off.filter(|(off, _)| *off > 0);
        off.min_by_key(|(off, name)| (std::cmp::Reverse(*off), *name)).map(|(_, name)| name)
    }
}
