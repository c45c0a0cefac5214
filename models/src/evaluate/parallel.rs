//! Jobs on several threads, their results in the order of the jobs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::Result;

/// Runs so many jobs, each called with its number; `done` hears of each on this thread, as it ends.
///
/// # Errors
/// The first error of a job to be heard of; jobs that run then are finished, no others are begun.
pub(super) fn in_parallel<T: Send>(
    threads: usize,
    jobs: usize,
    mut done: impl FnMut(usize, &T),
    job: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<Option<T>> = (0..jobs).map(|_| None).collect();
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..threads.clamp(1, jobs.max(1)) {
            let (sender, next, job) = (sender.clone(), &next, &job);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= jobs || sender.send((at, job(at))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (at, result) in receiver {
            // Returning early drops the receiver, and with it the other threads' work.
            let result = result?;
            done(at, &result);
            results[at] = Some(result);
        }
        Ok::<(), crate::Error>(())
    })?;
    Ok(results.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_jobs() {
        let mut heard = 0;
        let results = in_parallel(3, 20, |_, _| heard += 1, |at| Ok(at * at)).unwrap();
        assert_eq!(results, (0..20).map(|at| at * at).collect::<Vec<_>>());
        assert_eq!(heard, 20);
        let failed = in_parallel(
            2,
            5,
            |_, _| {},
            |at| match at {
                3 => Err(crate::Error::Data("three".to_owned())),
                at => Ok(at),
            },
        );
        assert_eq!(failed.unwrap_err().to_string(), "data: three");
    }
}
