//! The dataflow through which processes talk: orders from the first worker to the first of every
//! process, letters from those to the first worker.

use cloudops_operators::batch::Batch;
use cloudops_operators::flow;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use timely::communication::Push;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::InputHandle;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::operators::{Input, generic::Operator};
use timely::progress::Stamp;
use timely::worker::Worker;

use super::message::Mail;
use crate::worker::Report;

type Mails = InputHandle<u64, CapacityContainerBuilder<Batch>>;

/// A worker's end of it. Only the first worker of a process has something to say.
pub(crate) struct Post {
    out: Option<Mails>,
    outbox: Option<Receiver<Mail>>,
}

impl Post {
    /// Builds the dataflow; on every worker, before any other.
    ///
    /// What comes in goes to `reports`, where the coordinator or the agent of this process waits.
    pub(crate) fn connect(
        worker: &mut Worker,
        threads: usize,
        outbox: Option<Receiver<Mail>>,
        reports: &Sender<Report>,
    ) -> Self {
        let first = worker.index() == 0;
        let reports = reports.clone();
        let (orders, letters) = worker.dataflow::<u64, _, _>(|scope| {
            let (orders_in, orders) =
                scope.new_input_with_builder::<CapacityContainerBuilder<Batch>>();
            let (letters_in, letters) =
                scope.new_input_with_builder::<CapacityContainerBuilder<Batch>>();
            let to_reports = reports.clone();
            orders.sink(
                DistributorPact(move |_| ToFirsts { threads }),
                "orders",
                move |(input, _)| {
                    input.for_each(|_, batch| deliver(batch, &to_reports));
                },
            );
            letters.sink(flow::to_one(), "letters", move |(input, _)| {
                input.for_each(|_, batch| deliver(batch, &reports));
            });
            (orders_in, letters_in)
        });
        let out = outbox.is_some().then_some(if first { orders } else { letters });
        Self { out, outbox }
    }

    /// Sends what waits to be sent; `false` once nothing more will.
    pub(crate) fn pump(&mut self) -> bool {
        let (Some(out), Some(outbox)) = (&mut self.out, &self.outbox) else { return false };
        loop {
            match outbox.try_recv() {
                Ok(mail) => {
                    out.send_batch(&mut mail.into_batch());
                    out.flush();
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => {
                    self.out = None;
                    return false;
                }
            }
        }
    }
}

fn deliver(batch: &mut Batch, reports: &Sender<Report>) {
    for mail in Mail::of_batch(batch) {
        // Where nobody listens any more, this process is ending.
        drop(reports.send(Report::Mail(mail)));
    }
}

/// To the first worker of every process but the sender's own, which is the first.
struct ToFirsts {
    threads: usize,
}

impl Distributor<Batch> for ToFirsts {
    fn partition<T: Clone, P: Push<Message<T, Batch>>>(
        &mut self,
        container: &mut Batch,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        for pusher in pushers.iter_mut().step_by(self.threads).skip(1) {
            Message::push_at(&mut container.clone(), stamp.clone(), pusher);
        }
        *container = Batch::default();
    }

    fn flush<T: Clone, P: Push<Message<T, Batch>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}
