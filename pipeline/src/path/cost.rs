//! The steps of a cost stream: rows to totals, and what is made of their changes.

use std::rc::Rc;

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use cloudops_operators::anomaly::{alert_schema, anomaly_schema};
use cloudops_operators::batch::Batch;
use cloudops_operators::epoch::Epoch;
use cloudops_operators::flow::{self, Batches, Clock};
use cloudops_operators::rollup::Rollups;
use cloudops_operators::schema::cost::BILLING_ACCOUNT;
use timely::dataflow::channels::pact::Pipeline;

use super::{Path, take_in};

impl Path {
    /// Rows of a bill to changes of totals.
    pub fn bill<'s>(&self, rows: Batches<'s>) -> Batches<'s> {
        let kernel = self.kernels.bill.clone();
        let tally = Rc::clone(&self.tally);
        let logic = move |epoch: Epoch, batches: Vec<Batch>| {
            let kernel = kernel.as_ref().context("only a cost stream has a bill")?;
            let mut kernel = kernel.borrow_mut();
            let mut tally = tally.borrow_mut();
            let progress = tally.entry(epoch.0).or_default();
            progress.taken +=
                take_in(&batches, |p, rows, selected| kernel.push(p, rows, selected))?;
            progress.duplicates = kernel.take_duplicates();
            anyhow::Ok(kernel.take_changes()?.into_iter().collect())
        };
        let changes = flow::whole(rows, "bill", &self.supervisor, logic);
        match self.stream.bill.deliveries {
            // What follows is by account, and takes whole batches.
            Some(_) => {
                let routed = flow::route(changes, &self.supervisor);
                flow::each(routed, "by account", &self.supervisor, |batch| anyhow::Ok(vec![batch]))
            }
            None => changes,
        }
    }

    /// Rows of a bill as they were stated, where they are kept.
    pub fn lines<'s>(&self, rows: &Batches<'s>) -> Option<Batches<'s>> {
        let statements = self.kernels.statements.clone()?;
        let logic = move |_: Epoch, batches: Vec<Batch>| {
            let mut stated = Vec::with_capacity(batches.len());
            for batch in &batches {
                if let Some(rows) = batch.materialize()? {
                    stated.push(statements.of(batch.partition, &rows)?);
                }
            }
            anyhow::Ok(stated)
        };
        Some(flow::whole(rows.clone(), "lines", &self.supervisor, logic))
    }

    /// Changes of totals to changes of roll-ups, where there are any.
    pub fn rollup<'s>(&self, changes: Batches<'s>) -> Option<Batches<'s>> {
        let rollups = self.kernels.rollups.as_ref()?;
        Some(Rollups::connect(rollups, changes, &self.supervisor))
    }

    /// Changes of totals to changes of what targets have of them, by billing account; where costs are
    /// allocated.
    pub fn allocate<'s>(&self, changes: Batches<'s>) -> Option<Batches<'s>> {
        let kernel = Rc::clone(self.kernels.allocations.as_ref()?);
        let logic = move |_: Epoch, batches: Vec<RecordBatch>| {
            let mut kernel = kernel.borrow_mut();
            batches.iter().try_for_each(|changes| kernel.push(changes))?;
            anyhow::Ok(kernel.take_changes()?.into_iter().collect())
        };
        let routed = flow::route_by(changes, BILLING_ACCOUNT, &self.supervisor);
        Some(flow::gather(routed, Pipeline, "allocation", &self.supervisor, logic))
    }

    /// Changes of totals to days that came to more or less than was to be expected, their causes, and what
    /// became of alerts; where days are judged.
    pub fn anomaly<'s>(
        &self,
        changes: Batches<'s>,
        clock: Clock<'s>,
    ) -> Option<(Batches<'s>, Batches<'s>, Batches<'s>)> {
        let kernel = Rc::clone(self.kernels.anomalies.as_ref()?);
        let logic = move |_: Epoch, batches: Vec<Batch>, watermark| {
            let mut kernel = kernel.borrow_mut();
            take_in(&batches, |_, changes, _| kernel.push(changes))?;
            let (anomalies, causes) = kernel.advance(watermark)?.unzip();
            let found = anomalies.into_iter().chain(kernel.take_alerts()).collect();
            anyhow::Ok((found, causes.into_iter().collect()))
        };
        let (found, causes) =
            flow::clocked(changes, Pipeline, clock, "anomaly", &self.supervisor, logic);
        // Anomalies and alerts leave by one way, and are told apart by their columns.
        let only = |name: &str, wanted: SchemaRef| {
            flow::each(found.clone(), name, &self.supervisor, move |batch| {
                anyhow::Ok(if batch.schema() == wanted { vec![batch] } else { Vec::new() })
            })
        };
        let anomalies = only("anomalies", anomaly_schema());
        Some((anomalies, causes, only("cost alerts", alert_schema())))
    }

    /// Changes of totals to what accounts will be charged, and what each forecast was chosen from;
    /// where there are forecasts.
    pub fn forecast<'s>(
        &self,
        changes: Batches<'s>,
        clock: Clock<'s>,
    ) -> Option<(Batches<'s>, Batches<'s>)> {
        let kernel = Rc::clone(self.kernels.forecasts.as_ref()?);
        let logic = move |_: Epoch, batches: Vec<Batch>, watermark| {
            let mut kernel = kernel.borrow_mut();
            take_in(&batches, |_, changes, _| kernel.push(changes))?;
            let said = kernel.advance(watermark)?;
            anyhow::Ok(said.map_or_else(Default::default, |(a, choices)| (vec![a], vec![choices])))
        };
        Some(flow::clocked(changes, Pipeline, clock, "forecast", &self.supervisor, logic))
    }

    /// Forecasts to budgets held against them; where there are budgets.
    pub fn budget<'s>(&self, ahead: Batches<'s>) -> Option<Batches<'s>> {
        let kernel = self.kernels.budgets.clone()?;
        Some(flow::each(ahead, "budget", &self.supervisor, move |batch| {
            kernel.judge(&batch).map(|judged| judged.into_iter().collect())
        }))
    }

    /// Changes of totals to each day's vector.
    pub fn daily<'s>(&self, changes: Batches<'s>, clock: Clock<'s>) -> Batches<'s> {
        let kernel = self.kernels.daily.clone();
        let tally = Rc::clone(&self.tally);
        let logic = move |epoch: Epoch, batches: Vec<Batch>, watermark| {
            let kernel = kernel.as_ref().context("only a cost stream has days")?;
            let mut kernel = kernel.borrow_mut();
            take_in(&batches, |_, changes, _| kernel.push(changes))?;
            let vectors = kernel.advance(watermark)?;
            let mut tally = tally.borrow_mut();
            let progress = tally.entry(epoch.0).or_default();
            progress.pending = kernel.pending_rows();
            progress.windows = vectors.iter().map(|batch| batch.num_rows() as u64).sum();
            anyhow::Ok((vectors, Vec::new()))
        };
        flow::clocked(changes, Pipeline, clock, "daily", &self.supervisor, logic).0
    }
}
