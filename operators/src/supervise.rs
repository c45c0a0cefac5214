//! What every step of an operator runs under: the first error stops a worker's operators, the CPU
//! time of each is counted, and another thread can see which one a worker is in.
//!
//! Counts and places are for whoever watches a run; no result sees them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cpu_time::ThreadTime;

/// Any error an operator or a sink may meet.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// CPU time by operator.
pub type Busy = BTreeMap<String, Duration>;

/// Where a worker is, for other threads to read.
///
/// There is no clock in it: who reads it again and finds no more moves knows that nothing has moved
/// in between. A lock, since name and count must agree; it is held for a copy, a few times a batch.
#[derive(Debug, Clone, Default)]
pub struct Whereabouts(Arc<Mutex<At>>);

/// A worker's last step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct At {
    /// Steps entered and left so far.
    pub moves: u64,
    /// The stream of the last step; empty before the first.
    pub stream: String,
    /// Its operator.
    pub operator: String,
    /// Whether the worker is still in it.
    pub inside: bool,
}

impl Whereabouts {
    /// Where the worker is now.
    #[must_use]
    pub fn read(&self) -> At {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn enter(&self, stream: &str, operator: &str) {
        let mut at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Names are written into the old ones' place: a step allocates nothing.
        at.stream.clear();
        at.stream.push_str(stream);
        at.operator.clear();
        at.operator.push_str(operator);
        at.inside = true;
        at.moves += 1;
    }

    fn leave(&self) {
        let mut at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        at.inside = false;
        at.moves += 1;
    }
}

/// Keeps a worker's first error, with the operator that met it, and what its operators cost.
#[derive(Debug, Clone, Default)]
pub struct Supervisor {
    fault: Rc<RefCell<Option<(String, Cause)>>>,
    busy: Rc<RefCell<Busy>>,
    whereabouts: Whereabouts,
    stream: Rc<str>,
}

impl Supervisor {
    /// A worker's supervisor, which says in `whereabouts` where the worker is.
    #[must_use]
    pub fn watched(whereabouts: Whereabouts) -> Self {
        Self { whereabouts, ..Self::default() }
    }

    /// A supervisor that shares the fault and counts for itself: one a stream.
    #[must_use]
    pub fn for_stream(&self, stream: &str) -> Self {
        Self {
            fault: Rc::clone(&self.fault),
            busy: Rc::default(),
            whereabouts: self.whereabouts.clone(),
            stream: Rc::from(stream),
        }
    }

    /// Takes the error out, for the report.
    #[must_use]
    pub fn take_fault(&self) -> Option<(String, Cause)> {
        self.fault.borrow_mut().take()
    }

    /// Whether an operator has failed.
    #[must_use]
    pub fn is_faulted(&self) -> bool {
        self.fault.borrow().is_some()
    }

    /// Takes out what has been counted since it was last asked.
    #[must_use]
    pub fn take_busy(&self) -> Busy {
        std::mem::take(&mut *self.busy.borrow_mut())
    }

    /// Runs a step of an operator unless one has failed before; keeps its error.
    pub(crate) fn run<R: Default>(
        &self,
        operator: &str,
        step: impl FnOnce() -> Result<R, Cause>,
    ) -> R {
        if self.is_faulted() {
            return R::default();
        }
        self.count(operator, step).unwrap_or_else(|error| {
            self.fault.borrow_mut().get_or_insert((operator.to_owned(), error));
            R::default()
        })
    }

    /// Runs a step that is no operator's, and counts its CPU time.
    pub fn count<R>(&self, operator: &str, step: impl FnOnce() -> R) -> R {
        self.whereabouts.enter(&self.stream, operator);
        let begin = ThreadTime::now();
        let result = step();
        let spent = begin.elapsed();
        self.whereabouts.leave();
        let mut busy = self.busy.borrow_mut();
        match busy.get_mut(operator) {
            Some(sum) => *sum += spent,
            None => drop(busy.insert(operator.to_owned(), spent)),
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_error_is_kept_and_stops_the_others() {
        let worker = Supervisor::default();
        let (cost, audit) = (worker.for_stream("cost"), worker.for_stream("audit"));
        assert_eq!(cost.run("window", || Ok(7)), 7);
        assert_eq!(cost.run("score", || Err::<u32, _>("no model".into())), 0);
        assert_eq!(audit.run("window", || Ok(7)), 0, "another stream of the worker stops too");
        assert_eq!(audit.run("score", || Err::<u32, _>("a later error".into())), 0);
        let (operator, cause) = worker.take_fault().expect("an error was met");
        assert_eq!((operator.as_str(), cause.to_string().as_str()), ("score", "no model"));
        assert!(!worker.is_faulted());
    }

    #[test]
    fn cpu_time_is_counted_by_stream_and_operator() {
        let worker = Supervisor::default();
        let (cost, audit) = (worker.for_stream("cost"), worker.for_stream("audit"));
        let work = || std::hint::black_box((0..2_000_000_u64).fold(0, |a, b| a ^ b.rotate_left(7)));
        cost.count("window", work);
        cost.count("score", || ());
        let busy = cost.take_busy();
        assert!(busy["window"] > busy["score"], "{busy:?}");
        assert_eq!((cost.take_busy(), audit.take_busy()), (Busy::new(), Busy::new()));
    }

    #[test]
    fn another_thread_sees_where_a_worker_is() {
        let whereabouts = Whereabouts::default();
        let cost = Supervisor::watched(whereabouts.clone()).for_stream("cost");
        assert_eq!(whereabouts.read(), At::default());
        let seen = cost.count("daily", || {
            let whereabouts = whereabouts.clone();
            std::thread::spawn(move || whereabouts.read()).join().unwrap()
        });
        let at = |inside, moves| At {
            moves,
            stream: "cost".to_owned(),
            operator: "daily".to_owned(),
            inside,
        };
        assert_eq!((seen, whereabouts.read()), (at(true, 1), at(false, 2)));
    }
}
