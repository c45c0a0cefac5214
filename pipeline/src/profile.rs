//! Where a run's CPU time went, by stream and step, and what it held in memory.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cloudops_operators::supervise::Busy;
use cpu_time::{ProcessTime, ThreadTime};
use serde::Serialize;

use crate::memory;

/// What a run cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Profile {
    /// From the first step to the last commit.
    pub wall_seconds: f64,
    /// CPU time of the whole process meanwhile, all threads.
    pub cpu_seconds: f64,
    /// The most memory the process has held since it started; absent where the system does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// By stream and step, in the order of the data path.
    pub steps: Vec<Step>,
}

/// What one step cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The stream; absent for what all share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// `restore` and `checkpoint` take up and write down state; `read` and `plan` stand before the operators, `commit` (retraining with it) after them; `write TABLE` encodes a
    /// table's rows. `other` is what no step accounts for: starting, passing batches on, waiting.
    pub step: String,
    /// CPU time.
    pub cpu_seconds: f64,
    /// Its part of the whole process's.
    pub share: f64,
}

/// Counts a run's costs.
#[derive(Debug)]
pub(crate) struct Meter {
    begin: Instant,
    cpu: ProcessTime,
    /// By stream, what its readers have spent, ns.
    readers: Vec<(String, Arc<AtomicU64>)>,
    operators: BTreeMap<String, Busy>,
    restore: Duration,
    plan: Duration,
    commit: Duration,
}

impl Meter {
    /// A meter that starts now, of these streams.
    pub(crate) fn start(streams: impl IntoIterator<Item = String>) -> Self {
        Self {
            begin: Instant::now(),
            cpu: ProcessTime::now(),
            readers: streams.into_iter().map(|stream| (stream, Arc::default())).collect(),
            operators: BTreeMap::new(),
            restore: Duration::ZERO,
            plan: Duration::ZERO,
            commit: Duration::ZERO,
        }
    }

    /// Where a stream's readers add what they spend, ns.
    pub(crate) fn reader(&self, stream: usize) -> Arc<AtomicU64> {
        Arc::clone(&self.readers[stream].1)
    }

    /// Adds what a worker's operators of a stream have spent.
    pub(crate) fn operators(&mut self, stream: usize, busy: &Busy) {
        let sums = self.operators.entry(self.readers[stream].0.clone()).or_default();
        for (operator, &spent) in busy {
            *sums.entry(operator.clone()).or_default() += spent;
        }
    }

    /// Adds what reading a checkpoint has cost.
    pub(crate) fn restored(&mut self, spent: Duration) {
        self.restore += spent;
    }

    /// Adds what cutting and judging records has cost since `begin`.
    pub(crate) fn planned(&mut self, begin: ThreadTime) {
        self.plan += begin.elapsed();
    }

    /// Adds what committing has cost since `begin`.
    pub(crate) fn committed(&mut self, begin: ThreadTime) {
        self.commit += begin.elapsed();
    }

    /// The profile up to now.
    pub(crate) fn profile(&self) -> Profile {
        let total = self.cpu.elapsed().as_secs_f64();
        let mut steps = Vec::new();
        let mut add = |stream: Option<&str>, step: &str, seconds: f64| {
            steps.push(Step {
                stream: stream.map(str::to_owned),
                step: step.to_owned(),
                cpu_seconds: seconds,
                share: if total > 0.0 { seconds / total } else { 0.0 },
            });
        };
        for (stream, read) in &self.readers {
            let read = Duration::from_nanos(read.load(Ordering::Relaxed));
            add(Some(stream), "read", read.as_secs_f64());
            let mut busy: Vec<_> = self.operators.get(stream).into_iter().flatten().collect();
            busy.sort_by_key(|(operator, _)| place(operator));
            for (operator, spent) in busy {
                add(Some(stream), operator, spent.as_secs_f64());
            }
        }
        if !self.restore.is_zero() {
            add(None, "restore", self.restore.as_secs_f64());
        }
        add(None, "plan", self.plan.as_secs_f64());
        add(None, "commit", self.commit.as_secs_f64());
        let counted: f64 = steps.iter().map(|step: &Step| step.cpu_seconds).sum();
        let other = (total - counted).max(0.0);
        let share = if total > 0.0 { other / total } else { 0.0 };
        steps.push(Step { stream: None, step: "other".to_owned(), cpu_seconds: other, share });
        Profile {
            wall_seconds: self.begin.elapsed().as_secs_f64(),
            cpu_seconds: total,
            peak_memory_bytes: memory::peak(),
            steps,
        }
    }
}

/// An operator's place on the data path; those not named here stand before what is written.
fn place(operator: &str) -> usize {
    const PATH: [&str; 13] = [
        "restore",
        "route",
        "window",
        "bill",
        "rollup",
        "rollup rows",
        "daily",
        "feature",
        "score",
        "threshold",
        "attribute",
        "alert",
        "contribute",
    ];
    let written = usize::from(operator.starts_with("write "));
    PATH.iter().position(|&name| name == operator).unwrap_or(PATH.len() + written)
}

impl Profile {
    /// The profile as a table for a person; what cost less than 0.1 % stands with `other`.
    #[must_use]
    pub fn table(&self) -> String {
        let memory = self.peak_memory_bytes.map_or_else(String::new, |bytes| {
            format!(", {:.0} MB at most", bytes as f64 / (1 << 20) as f64)
        });
        let mut text =
            format!("{:.2} s of CPU in {:.2} s{memory}\n", self.cpu_seconds, self.wall_seconds);
        let (shown, small): (Vec<_>, Vec<_>) =
            self.steps.iter().partition(|step| step.share >= 0.001 || step.step == "other");
        let small: f64 = small.iter().map(|step| step.cpu_seconds).sum();
        let width = |of: fn(&Step) -> usize| shown.iter().map(|step| of(step)).max().unwrap_or(0);
        let streams = width(|step| step.stream.as_deref().map_or(0, str::len));
        let names = width(|step| step.step.len());
        for step in shown {
            let seconds = step.cpu_seconds + if step.step == "other" { small } else { 0.0 };
            let share = if self.cpu_seconds > 0.0 { seconds / self.cpu_seconds } else { 0.0 };
            let bar = "█".repeat((share * 40.0).round() as usize);
            let stream = step.stream.as_deref().unwrap_or("");
            // Writing to a string cannot fail.
            let _written = writeln!(
                text,
                "  {stream:streams$}  {:names$}  {seconds:8.2} s  {:5.1} %  {bar}",
                step.step,
                share * 100.0
            );
        }
        text.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_stand_in_the_order_of_the_path_and_sum_to_the_whole() {
        let mut meter = Meter::start(["sensors".to_owned(), "audit".to_owned()]);
        let busy = |names: &[&str]| -> Busy {
            names.iter().map(|&name| (name.to_owned(), Duration::from_micros(3))).collect()
        };
        meter.operators(0, &busy(&["write alerts", "score", "window", "observe drift"]));
        meter.operators(0, &busy(&["score"]));
        meter.reader(1).store(2_000, Ordering::Relaxed);
        // Enough work that the whole exceeds the made-up parts.
        let begin = ThreadTime::now();
        while begin.elapsed() < Duration::from_millis(5) {
            std::hint::black_box(());
        }
        let profile = meter.profile();
        let names: Vec<_> = profile.steps.iter().map(|step| step.step.as_str()).collect();
        assert_eq!(
            names,
            [
                "read",
                "window",
                "score",
                "observe drift",
                "write alerts",
                "read",
                "plan",
                "commit",
                "other"
            ]
        );
        assert_eq!(profile.steps[2].cpu_seconds, 6e-6, "two workers' scores");
        let sum: f64 = profile.steps.iter().map(|step| step.share).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        assert!(profile.table().contains("other"), "{}", profile.table());
    }
}
