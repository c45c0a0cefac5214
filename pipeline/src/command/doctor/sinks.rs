//! Sinks: is what they need there, and how far have they come? Nothing is sent.

use cloudops_operators::epoch::Epoch;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::delivery::Place;

use super::Findings;
use crate::executor::config::process_environment;
use crate::job::{Job, SinkJob};

pub(super) fn look(job: &Job, log: Option<&Catalog>, findings: &mut Findings) {
    for sink in &job.sinks {
        let SinkJob::Delivery(delivery) = sink else { continue };
        let sink = &delivery.config.name;
        let name = format!("sink {sink}");
        if let Err(error) = delivery.receiver(&process_environment) {
            let fix = "set the variable, or write the file, that the sink names";
            findings.failed(name, format!("{error:#}"), fix);
            continue;
        }
        let state = log.map(Catalog::state);
        let Some(known) = state.and_then(|state| state.delivery.sinks.get(sink)) else {
            findings.ok(name, "it has not begun");
            continue;
        };
        let committed = state.and_then(|state| state.committed);
        let end = Place::of_epoch(committed.map_or(0, |Epoch(last)| last + 1));
        match known.dead.len() {
            0 => findings.ok(name, format!("row {} is next, {end} is the end", known.next)),
            dead => findings.mind(
                name,
                format!("{dead} dead letters: the table dead_letters says why"),
                "mend what they name, then `cloudops alerts redeliver`",
            ),
        }
    }
}
