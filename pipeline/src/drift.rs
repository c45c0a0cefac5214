//! The drift step of the data path: statistics on every worker, one judge on the first.

use std::rc::Rc;

use cloudops_operators::data_drift::{DriftJudge, DriftPartial, PeriodPartial};
use cloudops_operators::flow::{self, Batches, Clock};
use cloudops_operators::schema::result::{MODEL, MODEL_VERSION};
use cloudops_operators::schema::texts;
use cloudops_operators::score::{ModelId, Score};
use cloudops_operators::supervise::Supervisor;
use timely::dataflow::channels::pact::Pipeline;

use crate::path::{Shared, Tally};

/// What the step is made of; made before the graph so that a wrong setting is an error.
#[derive(Debug)]
pub(crate) struct Drift {
    pub(crate) partial: Shared<DriftPartial>,
    pub(crate) judge: Shared<DriftJudge>,
}

impl Drift {
    /// Connects the step: verdicts in, rows of the drift table out; its own verdicts go to `tally`.
    pub(crate) fn connect<'s>(
        &self,
        verdicts: Batches<'s>,
        clock: Clock<'s>,
        score: &Shared<Score>,
        tally: &Tally,
        supervisor: &Supervisor,
    ) -> Batches<'s> {
        let (partial, judge) = (Rc::clone(&self.partial), Rc::clone(&self.judge));
        let (score, tally) = (Rc::clone(score), Rc::clone(tally));
        let observe = move |_, batches: Vec<cloudops_operators::batch::Batch>, watermark| {
            let mut partial = partial.borrow_mut();
            for batch in &batches {
                let Some(judged) = batch.materialize()? else { continue };
                let mut score = score.borrow_mut();
                let model = ModelId {
                    name: texts(&judged, MODEL)?.value(0).to_owned(),
                    version: texts(&judged, MODEL_VERSION)?.value(0).to_owned(),
                };
                partial.observe(&judged, score.info(&model)?)?;
            }
            let closed = PeriodPartial::encode(&partial.take_closed(watermark))?;
            cloudops_operators::Result::Ok((closed.into_iter().collect(), Vec::new()))
        };
        let (partials, _) =
            flow::clocked(verdicts, Pipeline, clock, "observe drift", supervisor, observe);
        let decide = move |epoch: cloudops_operators::epoch::Epoch, batches: Vec<_>| {
            let mut periods = Vec::new();
            for batch in &batches {
                periods.extend(PeriodPartial::decode(batch)?);
            }
            let judged = judge.borrow_mut().judge(periods)?;
            tally.borrow_mut().entry(epoch.0).or_default().verdicts.extend(judged.verdicts);
            cloudops_operators::Result::Ok(judged.rows.into_iter().collect())
        };
        flow::gather(partials, flow::to_one(), "judge drift", supervisor, decide)
    }
}
