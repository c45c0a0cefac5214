//! How much of a resource is used, and whether it is used at all: a lookback of rows to a named vector.
//!
//! Input: [`Rows`], one a step (an hour, or five minutes), of one resource up to the moment at which it
//! is judged. Output: [`FEATURES`], in a fixed order ([`features`]); the rules that are commonly applied
//! instead ([`rule`]); what speaks against terminating a resource, whatever a model says
//! ([`evidence`]); and what model and evidence come to ([`verdict`]). Everything is `f64`, summed in the
//! order of the rows, so the bits depend on the rows alone; nothing after the last row can be looked at,
//! as it is not there.
//!
//! What is not measured is `NaN`: a whole channel (an empty slice) or a single row. A feature whose rows
//! are all unknown is `NaN` too and never a made-up number: the forest learns where such rows belong.

use crate::{Error, Result};

pub mod daily;
pub mod evidence;
mod features;
mod regularity;
pub mod rule;
pub mod verdict;

pub use features::{FEATURES, features};

/// Seconds of a day.
pub const DAY: i64 = 86_400;
/// Days looked back by default: four whole weeks, so that every weekday weighs the same.
pub const LOOKBACK_DAYS: i64 = 28;

/// What is measured of a resource in each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Mean CPU, per cent of the capacity.
    Cpu,
    /// Greatest CPU within the step, per cent of the capacity.
    CpuPeak,
    /// Mean memory in use, per cent of the capacity.
    Memory,
    /// Read from and written to disk in the step, MB of 2²⁰ bytes.
    Disk,
    /// Received in the step, MB.
    NetIn,
    /// Sent in the step, MB.
    NetOut,
    /// Mean number of open connections of clients.
    Connections,
}

impl Channel {
    /// All of them, in the order of [`Rows`].
    pub const ALL: [Self; 7] = [
        Self::Cpu,
        Self::CpuPeak,
        Self::Memory,
        Self::Disk,
        Self::NetIn,
        Self::NetOut,
        Self::Connections,
    ];
}

/// Number of channels.
pub const CHANNELS: usize = Channel::ALL.len();

/// Rows of one resource, one a step without a hole; `NaN` where nothing is known.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    start: i64,
    step: i64,
    length: usize,
    channels: [&'a [f64]; CHANNELS],
}

impl<'a> Rows<'a> {
    /// Rows from `start` (seconds since 1970-01-01, UTC) on, `step` seconds each, by [`Channel::ALL`];
    /// a channel that is not measured is empty.
    ///
    /// # Errors
    /// [`Error::Configuration`] when steps do not divide an hour evenly, `start` is not at a step, or channels
    /// differ in length.
    pub fn new(start: i64, step: i64, channels: [&'a [f64]; CHANNELS]) -> Result<Self> {
        let refused = |reason: String| Error::Configuration(format!("utilisation: {reason}"));
        if step <= 0 || 3_600 % step != 0 || start % step != 0 {
            let reason = format!("rows of {step} s from {start} do not divide hours evenly");
            return Err(refused(reason));
        }
        let length = channels.iter().map(|channel| channel.len()).max().unwrap_or(0);
        let odd = channels.iter().position(|c| !c.is_empty() && c.len() != length);
        if let Some(odd) = odd {
            let (name, has) = (Channel::ALL[odd], channels[odd].len());
            return Err(refused(format!("{name:?} has {has} rows, others {length}")));
        }
        Ok(Self { start, step, length, channels })
    }

    /// The rows from one time to before another; less where there is less.
    #[must_use]
    pub fn between(&self, from: i64, to: i64) -> Self {
        let row = |time: i64| {
            let rows = (time - self.start).div_euclid(self.step);
            usize::try_from(rows).unwrap_or(0).min(self.length)
        };
        let (first, last) = (row(from), row(to).max(row(from)));
        let channels = self.channels.map(|channel| match channel {
            [] => channel,
            known => &known[first..last],
        });
        let start = self.start + first as i64 * self.step;
        Self { start, step: self.step, length: last - first, channels }
    }

    /// The last so many days.
    #[must_use]
    pub fn last_days(&self, days: i64) -> Self {
        self.between(self.end() - days * DAY, self.end())
    }

    /// A channel; empty where it is not measured.
    #[must_use]
    pub fn channel(&self, channel: Channel) -> &'a [f64] {
        self.channels[channel as usize]
    }

    /// Highest CPU known of each row: the peak where it is measured, else the mean.
    fn cpu_peak(&self) -> &'a [f64] {
        match self.channel(Channel::CpuPeak) {
            [] => self.channel(Channel::Cpu),
            peaks => peaks,
        }
    }

    /// When the first row begins.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.start
    }

    /// Seconds of a row.
    #[must_use]
    pub fn step(&self) -> i64 {
        self.step
    }

    /// When the last row ends.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.start + self.length as i64 * self.step
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Rows of a day.
    fn per_day(&self) -> usize {
        (DAY / self.step) as usize
    }

    /// When a row begins.
    fn time(&self, row: usize) -> i64 {
        self.start + row as i64 * self.step
    }
}

/// Values that are known.
pub(crate) fn known(values: &[f64]) -> impl Iterator<Item = f64> + Clone {
    values.iter().copied().filter(|value| !value.is_nan())
}

/// Arithmetic mean of what is known; `NaN` of nothing.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { f64::NAN } else { sum / f64::from(count) }
}

/// The greatest; `NaN` of nothing.
pub(crate) fn greatest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NAN, f64::max)
}

/// A quantile of sorted values, linearly interpolated between order statistics; `NaN` of nothing.
pub(crate) fn quantile(sorted: &[f64], quantile: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = quantile * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

/// What is known, in order of size.
pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = known(values).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_by_time() {
        let cpu: Vec<f64> = (0..72).map(f64::from).collect();
        let rows = Rows::new(0, 3_600, [&cpu, &[], &[], &[], &[], &[], &[]]).unwrap();
        let middle = rows.between(DAY, 2 * DAY);
        assert_eq!(
            (middle.start(), middle.len(), middle.channel(Channel::Cpu)[0]),
            (DAY, 24, 24.0)
        );
        assert!(middle.channel(Channel::Memory).is_empty());
        assert_eq!(rows.last_days(1).channel(Channel::Cpu)[0], 48.0);
        assert_eq!(rows.between(-5 * DAY, 9 * DAY).len(), 72);
        assert!(rows.between(9 * DAY, 8 * DAY).is_empty());
    }

    #[test]
    fn what_cannot_be_rows_is_refused() {
        let (long, short) = ([0.0; 5], [0.0; 4]);
        let channels: [&[f64]; CHANNELS] = [&long, &short, &[], &[], &[], &[], &[]];
        assert!(Rows::new(0, 3_600, channels).is_err());
        assert!(Rows::new(0, 7_000, [&[]; CHANNELS]).is_err());
        assert!(Rows::new(100, 3_600, [&[]; CHANNELS]).is_err());
    }

    #[test]
    fn quantiles_interpolate() {
        let values = sorted(&[4.0, f64::NAN, 1.0, 2.0, 3.0]);
        assert_eq!((quantile(&values, 0.5), quantile(&values, 1.0)), (2.5, 4.0));
        assert!(quantile(&[], 0.5).is_nan());
    }
}
