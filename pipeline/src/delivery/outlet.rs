//! The rounds of a sink: rows settled in order, and what was settled written down.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use cloudops_operators::epoch::Epoch;
use cloudops_sql::Error;
use cloudops_sql::alerts::Alert;
use cloudops_sql::catalog::State;
use cloudops_sql::catalog::delivery::{Delivered, Matchers, Place, Sink, Why};
use cloudops_sql::catalog::record::Record;
use serde_json::{Map, Value};

use super::round::{Fate, Round, Rules};
use super::{DeliveryJob, Failure, Line, Message, Receiver};
use crate::executor::backoff::Backoff;
use crate::executor::config::process_environment;
use crate::sink::alerts::{Outlet, Work};

/// Rows of one round at most: so many may come again after a crash.
const ROUND_ROWS: usize = 200;

/// Epochs that the log may be behind where rows were only passed by: a restart reads these again.
const EPOCHS_BEHIND: u64 = 1000;

/// How often one looks for acknowledgements, where the receiver is told of them.
const LOOK: Duration = Duration::from_secs(5);

/// How often a record is appended that the store did not clearly take, before the run fails with the store.
const APPENDS: u32 = 5;

/// The pause between these.
const APPEND_PAUSE: Duration = Duration::from_millis(10);

/// The step in which longer pauses look whether they are to end.
const TICK: Duration = Duration::from_millis(50);

/// A sink's receiver, and how far it has come.
#[derive(Debug)]
pub(crate) struct Delivery {
    name: String,
    receiver: Box<dyn Receiver>,
    matching: Matchers,
    group_by: Vec<String>,
    backoff: Backoff,
    /// The first row that is not settled. What was only passed by is not written down, so the log may be
    /// behind.
    next: Place,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attempt {
    Sent,
    Refused(Why),
    GivenUp(Why),
    /// One is told to stop.
    Stopped,
}

impl Delivery {
    /// Makes the receiver, and finds out how far the sink has come; one that has never begun begins here.
    ///
    /// # Errors
    /// When a secret is not there, or the store fails.
    pub(crate) fn begin(job: &DeliveryJob, work: &mut Work) -> Result<Self> {
        let mut delivery = Self::new(job)?;
        work.runtime.block_on(work.reader.catalog().refresh())?;
        let state = Arc::clone(work.reader.catalog().state());
        if let Some(sink) = state.delivery.sinks.get(&delivery.name) {
            delivery.next = sink.next;
            return Ok(delivery);
        }
        // Written down before anything is committed behind it: what comes then is not what was there before.
        let (next, told) = match job.config.backlog {
            true => (Place::default(), 0),
            false => {
                let next = state.committed.map_or(0, |Epoch(last)| last + 1);
                (Place::of_epoch(next), state.next_seq - 1)
            }
        };
        let record = delivery.record(next, told, work);
        delivery.append(record, work)?;
        Ok(delivery)
    }

    /// The same without a look at the log.
    ///
    /// # Errors
    /// When a secret is not there.
    pub(super) fn new(job: &DeliveryJob) -> Result<Self> {
        Ok(Self {
            name: job.config.name.clone(),
            receiver: job.receiver(&process_environment)?,
            matching: job.config.matching.clone(),
            group_by: job.config.group_by.clone().unwrap_or_default(),
            backoff: job.backoff(),
            next: Place::default(),
        })
    }

    /// A record that says nothing but how far the sink has come.
    pub(super) fn record(&self, next: Place, told: u64, work: &Work) -> Delivered {
        Delivered {
            sink: self.name.clone(),
            next,
            told,
            matching: self.matching.clone(),
            sent: 0,
            held: Vec::new(),
            again: Vec::new(),
            at_us: work.clock.now_us(),
        }
    }

    /// Settles rows that were found together; `false` when told to stop.
    fn round(&mut self, alerts: &[Alert], work: &mut Work) -> Result<bool> {
        let state = Arc::clone(work.reader.catalog().state());
        let lines = alerts.iter().map(line).collect::<Result<_>>()?;
        let rules = Rules {
            log: &state.delivery,
            sink: state.delivery.sinks.get(&self.name),
            matching: &self.matching,
            acknowledges: self.receiver.acknowledges(),
        };
        let mut round = Round::new(lines, &rules);
        for rows in round.messages(self.receiver.grouping(), &self.group_by) {
            if !self.message(&rows, &mut round, work)? {
                self.write(&mut round, work)?;
                return Ok(false);
            }
        }
        self.write(&mut round, work)?;
        Ok(true)
    }

    /// Sends rows as one message; where that is refused each by itself, so that one bad row takes no other
    /// with it. `false` when told to stop.
    fn message(&mut self, rows: &[usize], round: &mut Round, work: &mut Work) -> Result<bool> {
        if rows.iter().all(|&at| round.lines[at].place < self.next) {
            // Another program has settled them meanwhile.
            round.settle(rows, &Fate::Passed);
            return Ok(true);
        }
        let fate = match self.attempt(rows, round, work)? {
            Attempt::Stopped => return Ok(false),
            Attempt::Sent => Fate::Sent,
            Attempt::Refused(_) if rows.len() > 1 => {
                for at in rows {
                    if !self.message(&[*at], round, work)? {
                        return Ok(false);
                    }
                }
                return Ok(true);
            }
            Attempt::Refused(why) | Attempt::GivenUp(why) => Fate::Held(why),
        };
        round.settle(rows, &fate);
        work.settled.fetch_add(rows.len() as u64, Ordering::Relaxed);
        Ok(true)
    }

    /// Tries a message until it is taken, refused, or tried often enough. What was settled before it is
    /// written down before the first pause: it need not come again.
    fn attempt(&mut self, rows: &[usize], round: &mut Round, work: &mut Work) -> Result<Attempt> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let pause = match self.once(&round.message(rows), attempts, work) {
                Ok(ended) => return Ok(ended),
                Err(pause) => pause,
            };
            if attempts == 1 {
                self.write(round, work)?;
            }
            if !rest(pause, work) {
                return Ok(Attempt::Stopped);
            }
        }
    }

    /// Sends a message once; gives the pause after which to try again where that is to be done.
    pub(super) fn once(
        &self,
        message: &Message<'_>,
        attempts: u32,
        work: &Work,
    ) -> Result<Attempt, Duration> {
        let sent = self.receiver.send(message, work.clock.now_us());
        self.judge(sent, &message.key, message.lines.len() as u64, attempts, work)
    }

    /// What an answer means for who tries again.
    fn judge(
        &self,
        sent: Result<(), Failure>,
        key: &str,
        rows: u64,
        attempts: u32,
        work: &Work,
    ) -> Result<Attempt, Duration> {
        let sink = &self.name;
        match sent {
            Ok(()) => {
                work.monitor.delivered(sink, rows);
                Ok(Attempt::Sent)
            }
            Err(Failure::Refused { reason }) => {
                work.monitor.not_delivered(sink);
                tracing::warn!(sink, key, reason, "alerts were refused");
                if rows == 1 {
                    work.monitor.dead(sink);
                }
                Ok(Attempt::Refused(Why::Dead { reason, attempts }))
            }
            Err(Failure::Again { reason, after }) => {
                work.monitor.not_delivered(sink);
                let Some(pause) = self.backoff.pause(attempts, key) else {
                    tracing::warn!(sink, key, attempts, reason, "alerts were given up");
                    (0..rows).for_each(|_| work.monitor.dead(sink));
                    return Ok(Attempt::GivenUp(Why::Dead { reason, attempts }));
                };
                let pause = pause.max(after.unwrap_or_default());
                tracing::warn!(sink, key, reason, ?pause, "alerts were not taken; trying again");
                Err(pause)
            }
        }
    }

    /// Writes down what has been settled, where that is more than rows that were only passed by.
    fn write(&mut self, round: &mut Round, work: &mut Work) -> Result<()> {
        let settled = round.settled();
        let Some(last) = settled.checked_sub(1).filter(|_| settled > round.written) else {
            return Ok(());
        };
        let next = round.lines[last].place.after();
        let (sent, held) = round.news();
        let Sink { next: noted, told, .. } = self.sink(work.reader.catalog().state());
        let behind = next.epoch.saturating_sub(noted.epoch) >= EPOCHS_BEHIND;
        if sent > 0 || !held.is_empty() || behind {
            let record = Delivered { sent, held, ..self.record(next, told, work) };
            self.append(record, work)?;
        }
        self.next = self.next.max(next);
        round.written = settled;
        Ok(())
    }

    fn sink(&self, state: &State) -> Sink {
        state.delivery.sinks.get(&self.name).cloned().unwrap_or_default()
    }

    /// Appends a record, or what of it is still news: another program may deliver for the same sink.
    ///
    /// # Errors
    /// When the store does not take it.
    pub(super) fn append(&mut self, mut record: Delivered, work: &mut Work) -> Result<()> {
        let Work { reader, runtime, .. } = work;
        let catalog = reader.catalog();
        loop {
            runtime.block_on(catalog.refresh())?;
            if let Some(last) = catalog.state().delivery.sinks.get(&self.name) {
                let news = record.next > last.next || record.told > last.told;
                record.next = record.next.max(last.next);
                record.told = record.told.max(last.told);
                record.held.retain(|held| held.place >= last.next);
                record.again.retain(|place| last.dead.iter().any(|held| held.place == *place));
                self.next = self.next.max(last.next);
                if !news && record.again.is_empty() {
                    return Ok(());
                }
            }
            let mut appends = 1;
            let appended = loop {
                // Until it is known whether it landed, no other may be appended in its place.
                match runtime.block_on(catalog.append(Record::Delivered(record.clone()))) {
                    Err(Error::Retry { .. }) if appends < APPENDS => {
                        appends += 1;
                        std::thread::sleep(APPEND_PAUSE);
                    }
                    ended => break ended,
                }
            };
            match appended {
                Ok(_) => {
                    self.next = self.next.max(record.next);
                    return Ok(());
                }
                Err(Error::Superseded { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Passes on who has taken alerts on; `false` when told to stop.
    fn acknowledge(&mut self, work: &mut Work) -> Result<bool> {
        if !self.receiver.acknowledges() {
            return Ok(true);
        }
        let state = Arc::clone(work.reader.catalog().state());
        let sink = self.sink(&state);
        let mut new: Vec<_> = state.delivery.acknowledged.iter().collect();
        new.retain(|(_, of)| of.number > sink.told);
        new.sort_by_key(|(_, of)| of.number);
        let Some(told) = new.last().map(|(_, of)| of.number) else { return Ok(true) };
        for (alert, of) in new {
            let text = |(name, text): (&String, &String)| (name.clone(), Value::from(text.clone()));
            let row: Map<String, Value> = of.labels.iter().map(text).collect();
            if !self.matching.match_row(&row) || sink.silenced.contains_key(alert) {
                continue;
            }
            let mut attempts = 0;
            loop {
                attempts += 1;
                let sent = self.receiver.acknowledge(alert, of);
                // A word that is not taken is no dead letter: the alert itself was delivered.
                match self.judge(sent, alert, 0, attempts, work) {
                    Ok(_) => break,
                    Err(pause) if rest(pause, work) => {}
                    Err(_) => return Ok(false),
                }
            }
        }
        let record = self.record(sink.next, told, work);
        self.append(record, work)?;
        Ok(true)
    }
}

impl Outlet for Delivery {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn whom(&self) -> &'static str {
        "receiver"
    }

    fn next(&self) -> Place {
        self.next
    }

    fn look_after(&self) -> Option<Duration> {
        self.receiver.acknowledges().then_some(LOOK)
    }

    fn settle(&mut self, alerts: &[Alert], work: &mut Work) -> Result<bool> {
        for alerts in alerts.chunks(ROUND_ROWS) {
            if work.is_stopped() || !self.round(alerts, work)? {
                return Ok(false);
            }
        }
        self.acknowledge(work)
    }
}

/// A row as it is sent.
pub(super) fn line(alert: &Alert) -> Result<Line> {
    Ok(Line { place: alert.place, row: alert.row()? })
}

/// Waits; `false` when told to stop.
pub(super) fn rest(pause: Duration, work: &Work) -> bool {
    let mut left = pause;
    while !work.is_stopped() && !left.is_zero() {
        let nap = left.min(TICK);
        std::thread::sleep(nap);
        left -= nap;
    }
    !work.is_stopped()
}
