//! The steps of configuration: documents and audit events to facts, and what of them is drift.

use std::rc::Rc;

use anyhow::Context;
use cloudops_operators::batch::Batch;
use cloudops_operators::config_drift::observe;
use cloudops_operators::epoch::Epoch;
use cloudops_operators::flow::{self, Batches, Clock};
use timely::dataflow::channels::pact::Pipeline;

use super::Path;

impl Path {
    /// Rows of declarations and inventories to facts of resources.
    pub fn documents<'s>(&self, rows: Batches<'s>, clock: Clock<'s>) -> Batches<'s> {
        let kernel = self.kernels.documents.clone();
        let tally = Rc::clone(&self.tally);
        let logic = move |epoch: Epoch, batches: Vec<Batch>, watermark| {
            let kernel = kernel.as_ref().context("only configuration has documents")?;
            let mut kernel = kernel.borrow_mut();
            let mut tally = tally.borrow_mut();
            let progress = tally.entry(epoch.0).or_default();
            for batch in &batches {
                if let Some(rows) = batch.materialize()? {
                    kernel.push(batch.partition, &rows)?;
                    progress.taken += rows.num_rows() as u64;
                }
            }
            let facts = kernel.advance(watermark)?;
            progress.pending = kernel.pending_rows();
            anyhow::Ok((facts.into_iter().collect(), Vec::new()))
        };
        flow::clocked(rows, Pipeline, clock, "documents", &self.supervisor, logic).0
    }

    /// Audit events to facts of the resources that they changed.
    pub fn observe<'s>(&self, rows: Batches<'s>) -> Batches<'s> {
        let source = self.stream.name.clone();
        flow::whole(rows, "observe", &self.supervisor, move |_, batches| {
            let mut found = Vec::new();
            for batch in &batches {
                if let Some(rows) = batch.materialize()? {
                    found.extend(observe::facts(&source, batch.partition, &rows)?);
                }
            }
            anyhow::Ok(found)
        })
    }

    /// Facts of all streams to drift that appeared or healed; on the path that keeps it.
    pub fn config_drift<'s>(&self, facts: Batches<'s>, clock: Clock<'s>) -> Option<Batches<'s>> {
        let kernel = Rc::clone(self.kernels.config_drift.as_ref()?);
        let logic = move |_: Epoch, batches: Vec<Batch>, watermark| {
            let mut kernel = kernel.borrow_mut();
            for batch in &batches {
                if let Some(facts) = batch.materialize()? {
                    kernel.push(&facts)?;
                }
            }
            anyhow::Ok((kernel.advance(watermark)?.into_iter().collect(), Vec::new()))
        };
        let facts = flow::route(facts, &self.supervisor);
        Some(flow::clocked(facts, Pipeline, clock, "config_drift", &self.supervisor, logic).0)
    }
}
