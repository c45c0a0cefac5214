//! One stream's input on its way to a plan: cursors, watermarks, and where the next epoch is cut.
//!
//! **Idle partitions.** A partition of which nothing comes holds its stream's watermark back, as nobody knows
//! what it will bring, and what rests on several streams with it. Where `source.idle_after` says so, a live
//! job plans it as *idle* once it has been silent for so long by the clock on the wall: the watermark waits
//! for it no more. A stream with nothing but idle partitions follows those with which something rests on it
//! together ([`Job::together`](crate::job::Job::together)). What was applied meanwhile is the partition's own
//! watermark, so that what it brings later is late by no other rule than always. The plan is where the clock
//! ends: a replay, a restart and a backfill of the same log do as it says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Date32Type;
use cloudops_datasets::StreamKind;
use cloudops_operators::epoch::{Offset, Partition};
use cloudops_operators::schema::{TS, column, cost, times};
use cloudops_operators::watermark::Watermark;
use cloudops_operators::window::{WindowSpec, selected};
use cloudops_sql::catalog::record::{SourcePlan, StreamState};

use crate::job::StreamJob;
use crate::memory::Room;
use crate::source::cursor::{Amount, Cursor, Cut, Patience};

/// A stream's partitions and what of them has been cut but not planned.
#[derive(Debug)]
pub(super) struct Gather {
    /// The stream.
    pub(super) stream: Arc<StreamJob>,
    cursors: Vec<Cursor>,
    cuts: Vec<Cut>,
    /// Whether each partition's end has been planned.
    end_planned: Vec<bool>,
    /// Whether each partition was idle by the last plan.
    planned_idle: Vec<bool>,
    /// Since when nothing has come of each partition, by the clock on the wall; `None` where something has.
    silent_since_us: Vec<Option<i64>>,
    /// Partitions that the next plan makes idle.
    falling_idle: Vec<bool>,
    /// The watermark of everything planned.
    target: Watermark,
    /// The watermark that planned epochs have applied; less than `target` while a verdict is awaited.
    applied: Watermark,
    /// The drift periods, by number, into which windows that are still open may fall. Empty where
    /// nothing waits for verdicts.
    open_periods: BTreeSet<i64>,
}

/// A stream's part of an epoch: what the plan says, and the rows themselves.
#[derive(Debug)]
pub(super) struct Share {
    /// An entry a partition that moved, or whose watermark did.
    pub(super) plans: Vec<SourcePlan>,
    /// The rows, by partition.
    pub(super) cuts: Vec<Cut>,
    /// The stream's watermark after the epoch.
    pub(super) watermark: Watermark,
    /// Whether the next epoch of this stream must wait for this one's drift verdict.
    pub(super) barrier: bool,
}

impl Share {
    /// When the first of its records was read.
    #[must_use]
    pub(super) fn since(&self) -> Option<Instant> {
        self.cuts.iter().filter_map(|cut| cut.since).min()
    }
}

impl Gather {
    /// A stream at its beginning.
    #[must_use]
    pub(super) fn new(stream: Arc<StreamJob>, cursors: Vec<Cursor>) -> Self {
        let partitions = cursors.len();
        Self {
            stream,
            cursors,
            cuts: (0..partitions).map(|_| Cut::default()).collect(),
            end_planned: vec![false; partitions],
            planned_idle: vec![false; partitions],
            silent_since_us: vec![None; partitions],
            falling_idle: vec![false; partitions],
            target: Watermark::MIN,
            applied: Watermark::MIN,
            open_periods: BTreeSet::new(),
        }
    }

    /// A stream where a checkpoint left it.
    ///
    /// # Errors
    /// When a partition that had ended goes on, or a reader failed.
    pub(super) fn resume(
        stream: Arc<StreamJob>,
        mut cursors: Vec<Cursor>,
        state: &StreamState,
    ) -> Result<Self> {
        for (cursor, state) in cursors.iter_mut().zip(&state.partitions) {
            if state.ended {
                must_end(&stream.name, cursor, &mut Cut::default())?;
            }
        }
        let mut gather = Self::new(stream, cursors);
        gather.end_planned = state.partitions.iter().map(|partition| partition.ended).collect();
        gather.planned_idle = state.partitions.iter().map(|partition| partition.idle).collect();
        gather.applied = Watermark(state.applied_us);
        gather.target = gather.watermark(None);
        gather.open_periods = state.open_periods.iter().copied().collect();
        Ok(gather)
    }

    /// Where the stream stands after what has been planned; nothing more may have been cut.
    #[must_use]
    pub(super) fn state(&self) -> StreamState {
        let partitions = self.cursors.iter().zip(&self.end_planned);
        StreamState {
            source: self.stream.name.clone(),
            admitted: 0,
            applied_us: self.applied.0,
            open_periods: self.open_periods.iter().copied().collect(),
            partitions: partitions.map(|(cursor, &ended)| cursor.state(ended)).collect(),
        }
    }

    /// Rows and rejects cut but not planned: what an epoch's size is counted in, since a record may
    /// hold many.
    #[must_use]
    pub(super) fn records(&self) -> u64 {
        self.cuts.iter().map(|cut| cut.entries).sum()
    }

    /// What they take in memory, about.
    #[must_use]
    pub(super) fn bytes(&self) -> u64 {
        self.cuts.iter().map(|cut| cut.bytes).sum()
    }

    /// Batches that readers have read ahead.
    #[must_use]
    pub(super) fn queued(&self) -> usize {
        self.cursors.iter().map(Cursor::queued).sum()
    }

    /// Whether an epoch can take no more: its room is used, or a drift verdict holds the rest back.
    #[must_use]
    pub(super) fn full(&self, room: Room) -> bool {
        self.records() >= room.records || self.bytes() >= room.bytes || self.behind()
    }

    /// Whether everything that will ever come has been planned and applied.
    #[must_use]
    pub(super) fn finished(&self) -> bool {
        self.end_planned.iter().all(|&planned| planned) && self.applied == Watermark::MAX
    }

    /// Whether a plan now would say something new.
    #[must_use]
    pub(super) fn has_news(&self) -> bool {
        let ending = self.cursors.iter().zip(&self.end_planned).any(|(c, &p)| c.ended() && !p);
        self.records() > 0 || ending || self.behind() || self.falling_idle.contains(&true)
    }

    /// Whether all that may still come is of idle partitions, those among them that are to be planned as
    /// such.
    #[must_use]
    pub(super) fn quiet(&self) -> bool {
        let mut open = (0..self.cursors.len()).filter(|&i| !self.cursors[i].ended()).peekable();
        open.peek().is_some() && open.all(|i| self.rests(i))
    }

    /// Whether a partition is idle, or is from the next plan on.
    fn rests(&self, i: usize) -> bool {
        self.cuts[i].records() == 0 && (self.cursors[i].idle() || self.falling_idle[i])
    }

    /// Takes note of partitions of which nothing comes at an instant of the clock on the wall; those that
    /// have been silent for as long as `idle_after` says become idle with the next plan.
    pub(super) fn listen(&mut self, now_us: i64) {
        let Some(idle_after_us) = self.stream.idle_after_us else { return };
        for (i, cursor) in self.cursors.iter().enumerate() {
            if !cursor.dry() || self.cuts[i].records() > 0 {
                (self.silent_since_us[i], self.falling_idle[i]) = (None, false);
                continue;
            }
            let since = *self.silent_since_us[i].get_or_insert(now_us);
            let is_idle = !cursor.idle() && now_us.saturating_sub(since) >= idle_after_us;
            if is_idle && !self.falling_idle[i] {
                tracing::info!(stream = %self.stream.name, partition = i, "idle: nothing has come of it");
            }
            self.falling_idle[i] = is_idle;
        }
    }

    /// Whether the applied watermark was held back at a drift period's end.
    fn behind(&self) -> bool {
        self.applied < self.target
    }

    /// Cuts more records until they fill `room`, always of the partition that holds the others back.
    ///
    /// # Errors
    /// When a reader failed.
    pub(super) fn gather(&mut self, room: Room, patience: Patience) -> Result<()> {
        // Rows held back by a drift verdict would only pile up behind it.
        if self.behind() {
            return Ok(());
        }
        let goal = room.records;
        let mut dry = vec![false; self.cursors.len()];
        while !self.full(room) {
            let least = (0..self.cursors.len())
                .filter(|&i| !self.cursors[i].ended() && !dry[i])
                .min_by_key(|&i| self.cursors[i].watermark());
            let Some(i) = least else { break };
            let several = self.cursors.len() > 1;
            let step = if several { (goal - self.records()).min(8_192) } else { goal };
            let before = self.cuts[i].records();
            let step = step.min(goal - self.records());
            let bytes = self.cuts[i].bytes + (room.bytes - self.bytes());
            self.cursors[i].cut(Amount::Entries(step, bytes), patience, &mut self.cuts[i])?;
            dry[i] = self.cuts[i].records() == before;
        }
        Ok(())
    }

    /// Plans what has been gathered; a quiet stream goes by the watermark that it follows, where there is
    /// one.
    ///
    /// # Errors
    /// When a batch has no event time, which is a bug.
    pub(super) fn share(&mut self, follows: Option<Watermark>) -> Result<Share> {
        let was_idle: Vec<bool> = self.planned_idle.clone();
        for i in 0..self.cursors.len() {
            if self.rests(i) {
                self.cursors[i].rest(self.applied);
            }
            self.planned_idle[i] = self.cursors[i].idle();
            self.falling_idle[i] = false;
        }
        let cuts: Vec<Cut> = self.cuts.iter_mut().map(std::mem::take).collect();
        self.open_periods_of(&cuts)?;
        let ending: Vec<bool> = self.cursors.iter().map(Cursor::ended).collect();
        let already = std::mem::replace(&mut self.end_planned, ending.clone());
        self.target = self.watermark(follows);
        let before = self.applied;
        let limit = self.next_barrier();
        self.applied = self.target.min(limit.unwrap_or(Watermark::MAX)).max(before);
        let barrier = limit.is_some_and(|limit| limit <= self.target);
        self.forget();
        self.settle_idle();
        let is_news = |i: usize| {
            cuts[i].records() > 0
                || ending[i] != already[i]
                || self.planned_idle[i] != was_idle[i]
                || self.applied > before
        };
        let plans = (0..cuts.len())
            .filter(|&i| is_news(i))
            .map(|i| SourcePlan {
                source: self.stream.name.clone(),
                partition: Partition(i as u32),
                offset_from: Offset(self.cursors[i].next() - cuts[i].records()),
                offset_to: Offset(self.cursors[i].next()),
                spans: cuts[i].spans.clone(),
                watermark_us: self.applied.0,
                ended: ending[i],
                idle: self.planned_idle[i],
            })
            .collect();
        Ok(Share { plans, cuts, watermark: self.applied, barrier })
    }

    /// Reads again exactly what a plan of the log says.
    ///
    /// # Errors
    /// When a reader failed, or the input no longer holds the planned records.
    pub(super) fn replay(&mut self, plans: &[SourcePlan]) -> Result<Share> {
        for plan in plans {
            let i = plan.partition.0 as usize;
            anyhow::ensure!(
                i < self.cursors.len(),
                "the log knows partition {i} of {:?}, the configuration does not",
                self.stream.name
            );
            let records = plan.offset_to.0 - plan.offset_from.0;
            let (cursor, cut) = (&mut self.cursors[i], &mut self.cuts[i]);
            cursor.cut(Amount::Records(records), Patience::Endless, cut)?;
            anyhow::ensure!(
                cursor.next() == plan.offset_to.0 && cut.spans == plan.spans,
                "the input of {:?} has changed: epoch records {}..{} were read from {:?}, now from {:?}; \
                 restore the files, or start a new catalog",
                self.stream.name,
                plan.offset_from.0,
                plan.offset_to.0,
                plan.spans,
                cut.spans
            );
            if plan.ended {
                must_end(&self.stream.name, cursor, cut)?;
            }
            self.end_planned[i] = plan.ended;
            self.planned_idle[i] = plan.idle;
        }
        for plan in plans {
            self.applied = self.applied.max(Watermark(plan.watermark_us));
            if plan.idle {
                self.cursors[plan.partition.0 as usize].rest(self.applied);
            }
        }
        self.settle_idle();
        self.target = self.watermark(None);
        let cuts: Vec<Cut> = self.cuts.iter_mut().map(std::mem::take).collect();
        self.open_periods_of(&cuts)?;
        let barrier = self.settings().is_some_and(|(period, delay)| {
            self.applied != Watermark::MAX && (self.applied.0 - delay) % period == 0
        });
        self.forget();
        Ok(Share { plans: plans.to_vec(), cuts, watermark: self.applied, barrier })
    }

    /// The least watermark of the partitions that are not idle; where nothing else may still come, what the
    /// stream follows. Never less than what has been applied.
    fn watermark(&self, follows: Option<Watermark>) -> Watermark {
        if self.quiet() {
            return follows.unwrap_or(self.applied).max(self.applied);
        }
        let waited_for = self.cursors.iter().filter(|cursor| !cursor.idle());
        let least = waited_for.map(Cursor::watermark).min();
        least.unwrap_or(Watermark::MAX).max(self.applied)
    }

    /// What has been applied is the watermark of the partitions that are idle.
    fn settle_idle(&mut self) {
        for cursor in self.cursors.iter_mut().filter(|cursor| cursor.idle()) {
            cursor.rest(self.applied);
        }
    }

    /// Length of a drift period and the delay of its closing, where a verdict may put another model
    /// in force.
    fn settings(&self) -> Option<(i64, i64)> {
        let drift = self.stream.drift.as_ref().filter(|drift| drift.retrain)?;
        Some((drift.detector.period_us(), drift.detector.delay_us()))
    }

    /// Notes the periods into which windows over these rows may fall.
    fn open_periods_of(&mut self, cuts: &[Cut]) -> Result<()> {
        let Some((period, _)) = self.settings() else { return Ok(()) };
        let reach = match self.stream.window {
            WindowSpec::Count { .. } => 0,
            WindowSpec::Tumbling { duration_us } | WindowSpec::Sliding { duration_us, .. } => {
                duration_us
            }
            WindowSpec::Session { gap_us, max_duration_us } => gap_us.max(max_duration_us),
        };
        for batch in cuts.iter().flat_map(|cut| &cut.rows) {
            let Some(records) = &batch.records else { continue };
            let times: Vec<i64> = match self.stream.kind {
                StreamKind::Cost => open_days(records)?,
                StreamKind::Sensor | StreamKind::Audit | StreamKind::Configuration => {
                    let times = times(records, TS)?;
                    selected(records, batch.selection.as_deref()).map(|row| times[row]).collect()
                }
            };
            for time in times {
                let first = time.div_euclid(period);
                let last = time.saturating_add(reach).div_euclid(period);
                self.open_periods.extend(first..=last);
            }
        }
        Ok(())
    }

    /// When the next period closes into which a window may fall: there the watermark must wait.
    fn next_barrier(&self) -> Option<Watermark> {
        let (period, delay) = self.settings()?;
        let index = self.open_periods.first()?;
        Some(Watermark(index.checked_add(1)?.checked_mul(period)?.checked_add(delay)?))
    }

    /// Forgets the periods that have closed.
    fn forget(&mut self) {
        while self.next_barrier().is_some_and(|barrier| barrier <= self.applied) {
            self.open_periods.pop_first();
        }
    }
}

/// The beginnings of the days that charges fall on and that have not closed, each once.
fn open_days(charges: &RecordBatch) -> Result<Vec<i64>> {
    let days = |name| anyhow::Ok(column(charges, name)?.as_primitive::<Date32Type>().values());
    let (days, closed) = (days(cost::DAY)?, days(cost::CLOSED_BEFORE)?);
    let open = days.iter().zip(closed).filter(|(day, closed)| day >= closed);
    let open: BTreeSet<i32> = open.map(|(day, _)| *day).collect();
    Ok(open.into_iter().map(|day| i64::from(day) * cost::DAY_US).collect())
}

/// Checks that a partition whose end was planned has not grown.
fn must_end(stream: &str, cursor: &mut Cursor, cut: &mut Cut) -> Result<()> {
    let end = cursor.next();
    cursor.cut(Amount::Records(1), Patience::Endless, cut)?;
    anyhow::ensure!(
        cursor.ended(),
        "the input of {stream:?} ended at record {end} and has grown since: \
         use `run` with source.watch for growing input, or start a new catalog"
    );
    Ok(())
}

#[cfg(test)]
mod tests;
