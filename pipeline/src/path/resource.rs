//! The steps of resources: what each stream says of them, what is known of them, and how they are judged.

use std::rc::Rc;

use arrow::compute::{filter_record_batch, is_not_null};
use cloudops_operators::batch::Batch;
use cloudops_operators::epoch::Epoch;
use cloudops_operators::flow::{self, Batches, Clock};
use cloudops_operators::resource::{self, OUTCOME_COLUMN};
use cloudops_operators::schema::column;
use cloudops_operators::watermark::Watermark;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concat;

use super::{Path, take_in};

impl Path {
    /// Rows of telemetry to hours of use; where the stream says which channels measure it.
    pub fn hours<'s>(&self, rows: Batches<'s>, clock: Clock<'s>) -> Option<Batches<'s>> {
        let kernel = Rc::clone(self.kernels.hours.as_ref()?);
        let logic = move |_: Epoch, batches: Vec<Batch>, watermark: Watermark| {
            let mut kernel = kernel.borrow_mut();
            take_in(&batches, |p, rows, selected| kernel.push(p, rows, selected))?;
            anyhow::Ok((kernel.advance(watermark)?.into_iter().collect(), Vec::new()))
        };
        Some(flow::clocked(rows, Pipeline, clock, "hours", &self.supervisor, logic).0)
    }

    /// Changes of totals to what resources cost.
    pub fn charged<'s>(&self, changes: Batches<'s>) -> Batches<'s> {
        let source = self.stream.name.clone();
        flow::each(changes, "charged", &self.supervisor, move |changes| {
            resource::charged(&source, &changes).map(|facts| facts.into_iter().collect())
        })
    }

    /// Rows of a bill to which resource is of which size, and to what sizes cost.
    pub fn sold<'s>(&self, rows: Batches<'s>) -> Batches<'s> {
        let source = self.stream.name.clone();
        flow::whole(rows, "sold", &self.supervisor, move |_, batches| {
            let mut found = Vec::new();
            for batch in &batches {
                if let Some(rows) = batch.materialize()? {
                    found.extend(resource::sold(&source, batch.partition, &rows)?);
                }
            }
            anyhow::Ok(found)
        })
    }

    /// What sizes cost, to every worker: as it was known at the end of each day; on the path that keeps it.
    pub fn prices<'s>(&self, sold: Batches<'s>, clock: Clock<'s>) -> Option<Batches<'s>> {
        let kernel = Rc::clone(self.kernels.prices.as_ref()?);
        let prices = self.only(sold, true);
        let logic = move |_: Epoch, batches: Vec<Batch>, watermark: Watermark| {
            let mut kernel = kernel.borrow_mut();
            for batch in &batches {
                if let Some(prices) = batch.materialize()? {
                    kernel.push(&prices)?;
                }
            }
            anyhow::Ok((kernel.advance(watermark)?.into_iter().collect(), Vec::new()))
        };
        let prices = flow::route(prices, &self.supervisor);
        let list = flow::clocked(prices, Pipeline, clock, "prices", &self.supervisor, logic).0;
        Some(flow::tell_all(list))
    }

    /// Of what [`Path::sold`] gives the prices, or all else.
    pub fn only<'s>(&self, sold: Batches<'s>, prices: bool) -> Batches<'s> {
        let name = if prices { "prices only" } else { "sizes only" };
        flow::each(sold, name, &self.supervisor, move |batch| {
            let is_wanted = resource::is_prices(&batch) == prices;
            anyhow::Ok(is_wanted.then_some(batch).into_iter().collect())
        })
    }

    /// Audit events to who touched what.
    pub fn touched<'s>(&self, rows: Batches<'s>) -> Batches<'s> {
        let source = self.stream.name.clone();
        flow::whole(rows, "touched", &self.supervisor, move |_, batches| {
            let mut found = Vec::new();
            for batch in &batches {
                if let Some(rows) = batch.materialize()? {
                    found.extend(resource::touched(&source, batch.partition, &rows)?);
                }
            }
            anyhow::Ok(found)
        })
    }

    /// Facts of configuration to what resources are.
    pub fn described<'s>(&self, facts: Batches<'s>) -> Batches<'s> {
        flow::each(facts, "described", &self.supervisor, |facts| {
            resource::described(&facts).map(|facts| facts.into_iter().collect())
        })
    }

    /// What all streams say to what is known of each resource, and beside it those that are judged, by
    /// `prices`; on the path that keeps it.
    pub fn resources<'s>(
        &self,
        said: Batches<'s>,
        prices: Option<Batches<'s>>,
        clock: Clock<'s>,
    ) -> Option<(Batches<'s>, Batches<'s>)> {
        let kernel = Rc::clone(self.kernels.resources.as_ref()?);
        let logic = move |_: Epoch, batches: Vec<Batch>, watermark: Watermark| {
            let mut kernel = kernel.borrow_mut();
            for batch in &batches {
                if let Some(said) = batch.materialize()? {
                    kernel.push(&said)?;
                }
            }
            let (known, judged) = kernel.advance(watermark)?;
            anyhow::Ok((known.into_iter().collect(), judged.into_iter().collect()))
        };
        let said = flow::route(said, &self.supervisor);
        let said = match prices {
            Some(prices) => said.concat(prices),
            None => said,
        };
        Some(flow::clocked(said, Pipeline, clock, "resources", &self.supervisor, logic))
    }

    /// Judged resources to those of which a size is known.
    pub fn right_sized<'s>(&self, judged: Batches<'s>) -> Batches<'s> {
        flow::each(judged, "right-sized", &self.supervisor, |batch| {
            let has_size = is_not_null(column(&batch, OUTCOME_COLUMN)?)?;
            anyhow::Ok(vec![filter_record_batch(&batch, &has_size)?])
        })
    }

    /// Judged resources to the model's verdicts, and to what of the score of each named one is owed to
    /// which feature.
    pub fn zombies<'s>(&self, judged: Batches<'s>) -> Option<(Batches<'s>, Batches<'s>)> {
        let hunter = Rc::clone(self.kernels.zombies.as_ref()?);
        let verdicts = flow::each(judged, "zombies", &self.supervisor, {
            let hunter = Rc::clone(&hunter);
            move |batch| anyhow::Ok(vec![hunter.borrow_mut().judge(&batch)?])
        });
        let parts = flow::each(verdicts.clone(), "attribute zombies", &self.supervisor, {
            move |batch| anyhow::Ok(hunter.borrow().attribute(&batch)?.into_iter().collect())
        });
        Some((verdicts, parts))
    }
}
