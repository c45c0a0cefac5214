//! A labelled series as the evaluation sees it, whatever set it comes from.

use std::ops::Range;

use crate::Samples;
use crate::{Error, Result};

/// Rows of one entity in the order of time, without a gap that matters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stretch {
    /// Channels of a row.
    pub channels: usize,
    /// `[rows, channels]`, row-major, finite.
    pub values: Vec<f32>,
}

impl Stretch {
    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.channels).unwrap_or(0)
    }

    /// The window of `steps` rows that ends with row `last`; `None` where it would begin before the first.
    #[must_use]
    pub fn window(&self, last: usize, steps: usize) -> Option<&[f32]> {
        let from = (last + 1).checked_sub(steps)?;
        self.values.get(from * self.channels..(last + 1) * self.channels)
    }

    /// Rows of a range, as a stretch of its own.
    #[must_use]
    pub fn cut(&self, rows: Range<usize>) -> Self {
        let values = self.values[rows.start * self.channels..rows.end * self.channels].to_vec();
        Self { channels: self.channels, values }
    }

    /// Every window of `steps` rows, one a row, in order.
    fn windows(&self, steps: usize) -> impl Iterator<Item = &[f32]> {
        (0..self.rows()).filter_map(move |last| self.window(last, steps))
    }
}

/// A segment of a series whose root cause is labelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Rows of the test part.
    pub rows: Range<usize>,
    /// Indices of the channels at fault.
    pub channels: Vec<usize>,
}

impl Cause {
    /// The same segment, in rows counted from row `first` on.
    #[must_use]
    pub fn after(&self, first: usize) -> Self {
        let rows = self.rows.start.saturating_sub(first)..self.rows.end.saturating_sub(first);
        Self { rows, channels: self.channels.clone() }
    }
}

/// A series with healthy rows to learn from and labelled rows to be judged on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Machine, experiment or series.
    pub entity: String,
    /// Names of the channels.
    pub channels: Vec<String>,
    /// Healthy rows to learn from. Windows never span two stretches.
    pub train: Vec<Stretch>,
    /// Rows that directly precede the test part, so that its first row has a window too.
    pub context: Stretch,
    /// Rows to be judged.
    pub test: Stretch,
    /// Whether each row of the test part lies in a labelled event.
    pub labels: Vec<bool>,
    /// Segments with known root causes, where the set has them.
    pub causes: Vec<Cause>,
    /// Event time of each row of the test part, µs.
    pub times_us: Vec<i64>,
}

/// Healthy windows, split by time.
#[derive(Debug, Clone, PartialEq)]
pub struct Healthy {
    /// To learn from.
    pub train: Samples,
    /// To stop by and to calibrate on: the last part of every stretch, no row of which is in `train`.
    pub holdout: Samples,
}

/// The share of each stretch that is held out for early stopping and calibration.
pub const HOLDOUT_SHARE: f64 = 0.25;

/// Splits every stretch by time and cuts both parts into windows of `steps` rows, one a row.
///
/// # Errors
/// [`Error::Data`] when no stretch is long enough for a window on both sides.
pub fn healthy(entity: &str, stretches: &[Stretch], steps: usize) -> Result<Healthy> {
    let channels = stretches.first().map_or(0, |stretch| stretch.channels);
    let (mut train, mut holdout) = (Vec::new(), Vec::new());
    for stretch in stretches {
        let split = ((1.0 - HOLDOUT_SHARE) * stretch.rows() as f64) as usize;
        let parts = [(&mut train, 0..split), (&mut holdout, split..stretch.rows())];
        for (values, rows) in parts {
            stretch.cut(rows).windows(steps).for_each(|window| values.extend_from_slice(window));
        }
    }
    if train.is_empty() || holdout.is_empty() {
        let rows: usize = stretches.iter().map(Stretch::rows).sum();
        return Err(Error::Data(format!(
            "{entity}: {rows} healthy rows are too few for windows of {steps}: give at least {}",
            (steps as f64 / HOLDOUT_SHARE).ceil()
        )));
    }
    let samples = |values| Samples::new(steps, channels, values);
    Ok(Healthy { train: samples(train), holdout: samples(holdout) })
}

impl Series {
    /// Context and test part as one stretch, and the row at which the test part begins.
    #[must_use]
    pub fn judged(&self) -> (Stretch, usize) {
        let mut values = self.context.values.clone();
        values.extend_from_slice(&self.test.values);
        (Stretch { channels: self.test.channels, values }, self.context.rows())
    }

    /// Length of the test part in days of its own time.
    #[must_use]
    pub fn days(&self) -> f64 {
        let (Some(first), Some(last)) = (self.times_us.first(), self.times_us.last()) else {
            return 0.0;
        };
        let rows = self.times_us.len() as f64;
        // The last row lasts as long as the mean row does.
        let seconds = (last - first) as f64 / 1e6 * rows / (rows - 1.0).max(1.0);
        seconds / 86_400.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(rows: usize) -> Stretch {
        Stretch { channels: 2, values: (0..rows * 2).map(|value| value as f32).collect() }
    }

    #[test]
    fn windows_end_at_their_row() {
        let stretch = count(5);
        assert_eq!(stretch.rows(), 5);
        assert_eq!(stretch.window(2, 2), Some(&[2.0, 3.0, 4.0, 5.0][..]));
        assert_eq!(stretch.window(0, 2), None);
        assert_eq!(stretch.window(5, 2), None);
        assert_eq!(stretch.windows(2).count(), 4);
    }

    #[test]
    fn the_split_is_by_time_and_shares_no_row() {
        let split = healthy("m", &[count(16), count(8)], 2).unwrap();
        // 12 + 6 rows to learn from, 4 + 2 held out; no window spans two stretches.
        assert_eq!((split.train.len(), split.holdout.len()), (11 + 5, 3 + 1));
        assert_eq!(split.holdout.window(0), [24.0, 25.0, 26.0, 27.0]);
        let error = healthy("m", &[count(4)], 2).unwrap_err().to_string();
        assert!(error.contains("at least 8"), "{error}");
    }

    #[test]
    fn days_count_the_last_row_too() {
        let series =
            Series { times_us: (0..1440).map(|m| m * 60_000_000).collect(), ..Series::default() };
        assert!((series.days() - 1.0).abs() < 1e-12);
    }
}
