//! An epoch on its way: what workers report, until all of them are done with it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cloudops_operators::epoch::Epoch;
use cpu_time::ThreadTime;
use crossbeam_channel::RecvTimeoutError;

use super::{Done, Engine};
use crate::cluster::message::Letter;
use crate::worker::Report;

impl Engine<'_> {
    /// Waits a moment for the workers; commits what is complete, oldest first.
    pub(super) fn settle(&mut self, patience: Duration) -> Result<()> {
        match self.crew.reports.recv_timeout(patience) {
            Ok(report) => self.note(report)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("the workers have stopped"),
        }
        while let Ok(report) = self.crew.reports.try_recv() {
            self.note(report)?;
        }
        self.governor.look();
        while self.in_flight.front().is_some_and(|e| e.completed.iter().all(Option::is_some)) {
            if let Some(epoch) = self.in_flight.pop_front() {
                let begin = ThreadTime::now();
                self.commit(epoch)?;
                self.meter.committed(begin);
                self.governor.committed(self.in_flight.len());
            }
        }
        Ok(())
    }

    fn note(&mut self, report: Report) -> Result<()> {
        match report {
            Report::Complete(epoch, worker, completed) => {
                self.monitor.reported(epoch, worker, &completed.streams);
                for (stream, progress) in completed.streams.iter().enumerate() {
                    self.meter.operators(stream, &progress.busy);
                }
                self.done(epoch, worker, Done::Here(completed))
            }
            Report::Mail(mail) => match mail.read()? {
                Letter::Complete { epoch, worker, staged } => {
                    self.monitor.reported(epoch, worker, &staged.streams);
                    for (stream, progress) in staged.streams.iter().enumerate() {
                        self.meter.operators(stream, &progress.busy);
                    }
                    self.done(epoch, worker, Done::Elsewhere(staged))
                }
                Letter::Failed { operator, cause } => bail!("operator {operator}: {cause}"),
                Letter::Stop => {
                    self.options.stop.store(true, Ordering::Relaxed);
                    Ok(())
                }
            },
            Report::Failed(operator, cause) => {
                let cause = anyhow::Error::from_boxed(cause);
                Err(cause.context(format!("operator {operator}")))
            }
        }
    }

    fn done(&mut self, epoch: Epoch, worker: usize, done: Done) -> Result<()> {
        let at = self.in_flight.iter_mut().find(|e| e.plan.epoch == epoch);
        let at = at.with_context(|| format!("worker {worker} completed unknown epoch {epoch}"))?;
        at.completed[worker] = Some(done);
        Ok(())
    }
}
