//! Resources: one row for each and day on which anything was said of it, made of all streams.
//!
//! Bills tell what a resource costs, telemetry how much of it is used, audit events who touched it and to
//! what it was joined, declarations and inventories what it is. Each becomes *facts* of single resources
//! ([`charged`], [`Hours`], [`touched`], [`described`]) under one name ([`id`]). A resource's facts meet on the
//! worker that owns it and are taken up day by day, once the least watermark of all their streams has
//! passed a day's end, in an order that follows from the facts alone: so cuts, workers and restarts do not
//! show. What is known of it at the end of the day is its row; the last row holds.
//!
//! What a bill says counts on the day on which it became known. A restatement of last month's charges
//! therefore changes what a resource has cost from the day of the restatement on.
//!
//! Once a week each resource whose use is measured is judged ([`Judging`]): will it stay idle, and what is the
//! smallest size that would do?
//!
//! Not written in differential dataflow, though it is a join of collections: a row is what folding a day's
//! facts in order gives, and hours are forgotten after some weeks, where a join would hold all facts.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use serde::Deserialize;

use crate::key::Shard;
use crate::keyed::Keyed;
use crate::right_size::{Prices, RightSize, RightSizeConfig};
use crate::schema::cost::{DAY_US, day_of};
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::utilisation::daily::days;
use crate::utilisation::rule::is_idle;
use crate::watermark::Watermark;
use crate::{Error, Result};

mod charge;
mod describe;
mod fact;
mod hours;
pub mod id;
mod judge;
mod price;
pub mod reference;
mod rows;
mod state;
#[cfg(test)]
mod tests;
pub mod touch;
mod touched;
mod usage;

pub use charge::charged;
pub use describe::described;
pub use hours::{Hours, Measure, UtilisationConfig};
pub use judge::{EVIDENCE_COLUMN, FEATURE_COLUMN, Judging, OUTCOME_COLUMN};
pub use price::{PriceList, is_prices, sold};
pub use touched::touched;

use fact::{Fact, facts, is_facts};
use hours::{hours, is_hours};
use judge::{Judged, Sized};
use price::{Board, prices};
use rows::Row;
use state::{Sources, State};
use usage::Usage;

/// `[resources]`: one row a resource, of all streams.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResourcesConfig {
    /// Tags that name a resource's owner; the first that it has counts. Default: `["owner", "team"]`.
    pub owner_tags: Vec<String>,
    /// Types that are left out, `*` stands for any text. Default: none.
    pub ignore: Vec<String>,
    /// How resources are judged whose use is measured.
    pub judge: Judging,
    /// Which smaller sizes are proposed.
    pub right_size: RightSizeConfig,
}

impl Default for ResourcesConfig {
    fn default() -> Self {
        let owner_tags = ["owner", "team"].map(str::to_owned).to_vec();
        Self {
            owner_tags,
            ignore: Vec::new(),
            judge: Judging::default(),
            right_size: RightSizeConfig::default(),
        }
    }
}

impl ResourcesConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Configuration`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        if self.owner_tags.iter().chain(&self.ignore).any(String::is_empty) {
            let reason = "resources.owner_tags and ignore: a text is empty";
            return Err(Error::Configuration(reason.to_owned()));
        }
        self.judge.validate()?;
        self.right_size.validate()
    }

    /// Days of hours that judgements look back to.
    fn history_days(&self) -> i32 {
        let right_size = i32::try_from(self.right_size.lookback_days).unwrap_or(i32::MAX);
        judge::LOOKBACK.max(right_size)
    }
}

/// What comes of an epoch: rows of resources, and of judged ones.
pub type Told = (Option<RecordBatch>, Option<RecordBatch>);

/// The operator: all that is known of every resource.
#[derive(Debug)]
pub struct Resources {
    config: ResourcesConfig,
    states: Keyed<State>,
    usage: Usage,
    right_size: RightSize,
    board: Board,
    /// Resources of which something is to be taken up, by the day.
    due: BTreeSet<(i32, String)>,
    /// Resources to be judged at the end of a day.
    judging: BTreeSet<(i32, String)>,
    /// Whether the two above have to be found out again.
    is_restored: bool,
}

impl Resources {
    /// An operator that knows no resource.
    ///
    /// # Errors
    /// As [`ResourcesConfig::validate`].
    pub fn new(config: ResourcesConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            states: Keyed::default(),
            usage: Usage::new(config.history_days()),
            right_size: RightSize::new(config.right_size.clone())?,
            board: Board::default(),
            config,
            due: BTreeSet::new(),
            judging: BTreeSet::new(),
            is_restored: false,
        })
    }

    /// Takes in facts, hours or prices.
    ///
    /// # Errors
    /// [`Error::Column`] when they are none of these.
    pub fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        if is_facts(rows) {
            for fact in facts(rows)? {
                let day = fact.day();
                self.due.insert((day, fact.resource.clone()));
                let resource = fact.resource.clone();
                self.states.entry(&resource).pending.entry(day).or_default().push(fact);
            }
        } else if is_hours(rows) {
            for hour in hours(rows)? {
                let day = self.usage.take_up(&hour);
                self.due.insert((day, hour.resource.to_owned()));
                let judged_on = self.config.judge.judged_on(day);
                self.judging.insert((judged_on, hour.resource.to_owned()));
            }
        } else if is_prices(rows) {
            prices(rows)?.into_iter().for_each(|known| self.board.put(known));
        } else {
            return Err(Error::Column {
                column: "fact".to_owned(),
                expected: "facts, prices or hours of resources".to_owned(),
                found: "another batch".to_owned(),
            });
        }
        Ok(())
    }

    /// Takes up the days that the watermark has passed; rows of resources, by day and resource, and of
    /// those that were judged.
    ///
    /// # Errors
    /// [`Error::Configuration`] never after [`Self::new`] has checked it; else when Arrow refuses to
    /// build a batch, which is a bug.
    pub fn advance(&mut self, watermark: Watermark) -> Result<Told> {
        if std::mem::take(&mut self.is_restored) {
            self.find_due();
        }
        let is_over =
            |day: i32| watermark == Watermark::MAX || (i64::from(day) + 1) * DAY_US <= watermark.0;
        let (mut told, mut judged) = (Vec::new(), Vec::new());
        let mut prices = Prices::default();
        loop {
            let (due, judging) = (self.due.first(), self.judging.first());
            let Some(day) = due.into_iter().chain(judging).map(|(day, _)| *day).min() else {
                break;
            };
            if !is_over(day) {
                break;
            }
            // All that a day says, before anything is judged by it.
            while let Some(id) = next_of(&mut self.due, day) {
                told.extend(self.take_up(&id, day)?);
            }
            self.board.known_by(day, &mut prices);
            while let Some(id) = next_of(&mut self.judging, day) {
                judged.extend(self.judge(&id, day, &prices)?);
            }
        }
        self.board.clear();
        if watermark != Watermark::MAX && watermark != Watermark::MIN {
            self.usage.forget(day_of(watermark.0) - 1);
        }
        Ok((rows::rows(&told)?, judge::rows(&judged)?))
    }

    /// Takes up what a day says of a resource; its row, unless it is of a type that is left out.
    fn take_up(&mut self, id: &str, day: i32) -> Result<Option<Row>> {
        let state = self.states.entry(id);
        let mut facts: Vec<Fact> = state.pending.remove(&day).unwrap_or_default();
        facts.sort_by(|a, b| a.place().cmp(&b.place()));
        let mut sources = Sources::default();
        for fact in &facts {
            state.take_up(fact);
            sources.add(fact.at, &fact.cause);
        }
        let mut used = None;
        if let Some(of_day) = self.usage.day(id, day) {
            let end = (i64::from(day) + 1) * DAY_US;
            sources.add(end - 1, &of_day.cause);
            state.saw(i64::from(day) * DAY_US);
            let history = self.usage.history(id, day);
            let rows = history.rows()?.last_days(1);
            let summary = days(&rows).pop();
            if summary.is_some_and(|summary| !is_idle(&summary)) {
                state.used(end);
            }
            used = Some(rows::Used::of(&rows, of_day.known()));
        }
        state.done_to = Some(day);
        let kind = state.identity(id).resource_type.unwrap_or_default();
        if self.config.ignore.iter().any(|pattern| crate::config_drift::glob(pattern, &kind)) {
            return Ok(None);
        }
        Ok(Some(Row::of(id, day, state, used, &sources, &self.config.owner_tags)))
    }

    /// Judges a resource by what is known of it at the end of a day; `None` of what is no more.
    fn judge(&mut self, id: &str, day: i32, prices: &Prices) -> Result<Option<Judged>> {
        let state = self.states.entry(id);
        state.judged_to = Some(day);
        if state.is_gone() {
            return Ok(None);
        }
        let mut sources = Sources::default();
        for used in self.usage.looked_back(id, day) {
            sources.add(i64::from(day), &used.cause);
        }
        let Some(cause) = sources.last() else { return Ok(None) };
        let history = self.usage.history(id, day);
        let rows = history.rows()?;
        // Of what does not run no size is too large.
        let sold = state.sold(id).filter(|_| !state.is_stopped());
        let outcome = sold.map(|sold| {
            let outcome = self.right_size.propose(&rows, &sold, prices);
            Sized {
                outcome,
                currency: sold.currency,
                size: sold.size,
                committed: state.is_committed(),
            }
        });
        Ok(Some(Judged::of(id, day, cause, &rows, outcome)))
    }

    /// What is to be taken up and judged, from the state alone.
    fn find_due(&mut self) {
        for (id, state) in self.states.iter() {
            self.due.extend(state.pending.keys().map(|day| (*day, id.to_owned())));
        }
        for (id, day) in self.usage.all_days() {
            let state = self.states.get(id);
            let is_after = |done: Option<i32>, day: i32| done.is_none_or(|done| day > done);
            if is_after(state.and_then(|state| state.done_to), day) {
                self.due.insert((day, id.to_owned()));
            }
            let judged_on = self.config.judge.judged_on(day);
            if is_after(state.and_then(|state| state.judged_to), judged_on) {
                self.judging.insert((judged_on, id.to_owned()));
            }
        }
    }
}

/// The next resource that waits for a day.
fn next_of(waiting: &mut BTreeSet<(i32, String)>, day: i32) -> Option<String> {
    let (due, _) = waiting.first()?;
    if *due == day { waiting.pop_first().map(|(_, id)| id) } else { None }
}

impl Snapshot for Resources {
    fn operator(&self) -> &'static str {
        "resources"
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        usage::beside(self.states.snapshot(shard, extent)?, self.usage.snapshot(shard, extent)?)
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
        let (states, days) = usage::apart(self.operator(), state)?;
        self.states.restore(self.operator(), shard, &states)?;
        self.usage.restore(self.operator(), shard, &days)?;
        self.is_restored = true;
        Ok(())
    }

    fn changes(&self) -> Option<Changes> {
        let (states, days) = (self.states.changes()?, self.usage.changes());
        Some(Changes { keys: states.keys + days.keys, changed: states.changed + days.changed })
    }

    fn saved(&mut self) {
        self.states.saved();
        self.usage.saved();
    }
}
