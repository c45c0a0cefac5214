//! The beginning of an epoch: gather, cut, plan, give to the workers.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use cloudops_operators::epoch::Partition;
use cloudops_operators::snapshot::Extent;
use cloudops_operators::watermark::Watermark;
use cloudops_sql::catalog::record::{Plan, Record};
use cpu_time::ThreadTime;

use super::gather::{Gather, Share};
use super::{Engine, InFlight, SourceShare};
use crate::checkpoint;
use crate::cluster::message::Order;
use crate::monitor::phase::Phase;
use crate::source::cursor::Patience;
use crate::worker::{self, Command};

impl Engine<'_> {
    /// Plans an epoch if there is news; `false` where there is none, or a verdict is awaited.
    pub(super) fn plan_next(&mut self) -> Result<bool> {
        if self.waiting() || self.options.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let begin = ThreadTime::now();
        self.monitor.enter(Phase::Input, None);
        let shares = self.cut();
        self.meter.planned(begin);
        let Some(shares) = shares? else {
            if !self.in_flight.is_empty() {
                self.monitor.enter(Phase::Workers, None);
            }
            return Ok(false);
        };
        let due = self.checkpointed.0.elapsed() >= self.job.checkpoint_interval;
        self.plan(shares, due)?;
        Ok(true)
    }

    /// Plans an epoch of these shares and gives it to the workers; as a checkpoint where it is `due` and
    /// may be one.
    fn plan(&mut self, shares: Vec<(usize, Share)>, due: bool) -> Result<()> {
        let plan = Plan {
            epoch: self.next_epoch,
            generation: self.generation,
            sources: shares.iter().flat_map(|(_, share)| share.plans.clone()).collect(),
            planned_at_us: self.options.clock.now_us(),
        };
        self.next_epoch = self.next_epoch.next();
        self.monitor.enter(Phase::Plan, Some(plan.epoch));
        self.runtime.block_on(self.catalog.append(Record::Plan(plan.clone())))?;
        // What others appended before the plan bears on it.
        self.tell_feedback()?;
        self.monitor.enter(Phase::Workers, None);
        let (since, epochs) = self.checkpointed;
        // After a drift verdict a model may be promoted, which only the epoch's replay brings about.
        let due = due && shares.iter().all(|(_, share)| !share.barrier);
        self.checkpointed = if due { (Instant::now(), 0) } else { (since, epochs + 1) };
        let extent = due.then(|| self.extent());
        self.give(plan, shares, extent)
    }

    /// How much of the state the next checkpoint holds.
    fn extent(&self) -> Extent {
        let last = self.catalog.state().checkpoint.as_deref().map(|at| &at.checkpoint);
        let on_its_way = self.in_flight.iter().any(|epoch| epoch.extent == Some(Extent::Whole));
        if on_its_way { Extent::Changed } else { checkpoint::due(last) }
    }

    /// Plans what has been gathered, and has its commit hold the state: the next start begins there.
    pub(super) fn last_epoch(&mut self) -> Result<()> {
        let gathered = self.streams.iter().any(|stream| stream.records() > 0);
        if !gathered && self.checkpointed.1 == 0 {
            return Ok(());
        }
        let shares = self.shares()?;
        self.plan(shares, true)?;
        while !self.in_flight.is_empty() {
            self.settle(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Gathers records and cuts the next epoch, by stream, where there is news enough.
    fn cut(&mut self) -> Result<Option<Vec<(usize, Share)>>> {
        let live = self.options.live;
        let room = self.governor.room();
        for gather in &mut self.streams {
            let patience = match live {
                true => Patience::Until(Instant::now() + Duration::from_millis(5)),
                false => Patience::Endless,
            };
            gather.gather(room, patience)?;
            if live {
                gather.listen(self.options.clock.now_us());
            }
            self.monitor.queued(&gather.stream.name, gather.queued());
        }
        if !self.streams.iter().any(Gather::has_news) {
            return Ok(None);
        }
        if live {
            let since = *self.gather_since.get_or_insert_with(Instant::now);
            let full = self.streams.iter().any(|gather| gather.full(room));
            if !full && since.elapsed() < self.job.epoch_interval {
                return Ok(None);
            }
        }
        self.gather_since = None;
        self.shares().map(Some)
    }

    /// Everything that has been gathered, by stream. Quiet streams come last, as they follow others, and
    /// not the end of others, which would be their own.
    fn shares(&mut self) -> Result<Vec<(usize, Share)>> {
        let mut groups: Vec<(Vec<usize>, Option<Watermark>)> =
            self.job.together().into_iter().map(|streams| (streams, None)).collect();
        let mut shares = Vec::new();
        let is_quiet: Vec<bool> = self.streams.iter().map(Gather::quiet).collect();
        for quiet in [false, true] {
            for (stream, gather) in self.streams.iter_mut().enumerate() {
                if is_quiet[stream] != quiet {
                    continue;
                }
                let own = groups.iter_mut().filter(|(streams, _)| streams.contains(&stream));
                if quiet {
                    // Of several things that rest on it, the one that has come furthest waits for it.
                    let follows = own.filter_map(|(_, least)| *least).max();
                    shares.push((stream, gather.share(follows)?));
                    continue;
                }
                let share = gather.share(None)?;
                if share.watermark != Watermark::MAX {
                    own.for_each(|(_, least)| {
                        *least = Some(least.map_or(share.watermark, |of| of.min(share.watermark)));
                    });
                }
                shares.push((stream, share));
            }
        }
        shares.sort_by_key(|(stream, _)| *stream);
        Ok(shares)
    }

    /// Gives a planned epoch to the workers, as a checkpoint of so much where it is one.
    pub(super) fn give(
        &mut self,
        plan: Plan,
        shares: Vec<(usize, Share)>,
        extent: Option<Extent>,
    ) -> Result<()> {
        let epoch = plan.epoch;
        let workers = self.crew.workers();
        let none = || self.streams.iter().map(|_| worker::StreamInput::default()).collect();
        let mut inputs: Vec<Vec<worker::StreamInput>> = (0..workers).map(|_| none()).collect();
        let mut counts = Vec::new();
        let mut barriers = Vec::new();
        let read = shares.iter().filter_map(|(stream, share)| Some((*stream, share.since()?)));
        self.monitor.given(&plan, read.collect());
        for (stream, share) in shares {
            if share.barrier {
                barriers.push((stream, share.watermark.0));
            }
            for input in &mut inputs {
                input[stream].watermark = Some(share.watermark);
            }
            let mut turn = 0;
            for (i, cut) in share.cuts.into_iter().enumerate() {
                let partition = Partition(i as u32);
                if cut.records() > 0 {
                    counts.push(SourceShare {
                        stream,
                        records: cut.entries,
                        on_time: cut.on_time,
                        late: cut.late.len() as u64,
                        rejected: cut.rejects.len() as u64,
                    });
                }
                // One worker takes all that no operator touches, so that it lands in one file.
                let aside = &mut inputs[(epoch.0 as usize) % workers][stream];
                aside.late.extend(crate::sink::rows::late(partition, &cut.late)?);
                if !cut.rejects.is_empty() {
                    aside.rejects.push(crate::sink::rows::rejects(partition, &cut.rejects)?);
                }
                for batch in cut.rows {
                    inputs[turn % workers][stream].rows.push(batch);
                    turn += 1;
                }
            }
        }
        self.tell(&Order::Epoch {
            epoch,
            watermarks_us: inputs[0].iter().map(|input| input.watermark.map(|w| w.0)).collect(),
            checkpoint: extent,
            stage: self.committed_before.is_none_or(|last| epoch > last),
        })?;
        for (worker, input) in inputs.into_iter().enumerate() {
            self.crew.command(worker, Command::Epoch(epoch, input, extent));
        }
        let completed = (0..self.workers()).map(|_| None).collect();
        let checkpoint = extent.map(|_| self.streams.iter().map(Gather::state).collect());
        let shares = counts;
        self.in_flight.push_back(InFlight {
            plan,
            shares,
            completed,
            barriers,
            extent,
            checkpoint,
        });
        Ok(())
    }
}
