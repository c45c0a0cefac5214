//! What is said of the days to come.

/// A normal distribution's 0.9-quantile, in standard deviations.
pub const NORMAL_P90: f64 = 1.281_551_565_544_6;

/// Three quantiles of one number, in the series' unit; `p10 ≤ p50 ≤ p90`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quantiles {
    /// One in ten outcomes lies below.
    pub p10: f64,
    /// Half of the outcomes lie below.
    pub p50: f64,
    /// Nine in ten outcomes lie below.
    pub p90: f64,
}

impl Quantiles {
    /// The same, no quantile below `bound`.
    fn above(self, bound: f64) -> Self {
        Self { p10: self.p10.max(bound), p50: self.p50.max(bound), p90: self.p90.max(bound) }
    }
}

/// What is said of the days (or months) after an origin.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Forecast {
    /// Of each day.
    pub days: Vec<Quantiles>,
    /// Of the total from the first day to each: the last of a month is the month's.
    pub totals: Vec<Quantiles>,
}

impl Forecast {
    /// A point forecast with normal errors: `deviations` of each day, and of each total.
    #[must_use]
    pub fn normal(point: &[f64], deviations: &[f64], of_totals: &[f64]) -> Self {
        let around = |p50: f64, deviation: f64| {
            let half = NORMAL_P90 * deviation;
            Quantiles { p10: p50 - half, p50, p90: p50 + half }
        };
        let sums = point.iter().scan(0.0, |sum, value| {
            *sum += value;
            Some(*sum)
        });
        Self {
            days: point.iter().zip(deviations).map(|(p, d)| around(*p, *d)).collect(),
            totals: sums.zip(of_totals).map(|(p, d)| around(p, *d)).collect(),
        }
    }

    /// A point forecast of a linear model with one-step errors of deviation `sigma`, where an error
    /// moves the forecast `j` steps on by `response(j)` of itself (Hyndman et al. 2008, *Forecasting
    /// with Exponential Smoothing*, 6.1: `c_j`). The totals' deviations follow from the same numbers.
    /// Point and `sigma` are rates: each step counts as often as `weights` says.
    #[must_use]
    pub fn linear(
        point: &[f64],
        sigma: f64,
        weights: &[f64],
        response: impl Fn(usize) -> f64,
    ) -> Self {
        let responses: Vec<f64> = (1..=point.len()).map(response).collect();
        let mut variance = 1.0;
        let (mut days, mut totals) = (Vec::new(), Vec::new());
        // By how much the error of each step so far moves the total.
        let mut moved: Vec<f64> = Vec::with_capacity(point.len());
        for (at, weight) in weights.iter().enumerate().take(point.len()) {
            days.push(sigma * f64::sqrt(variance) * weight);
            variance += responses[at].powi(2);
            for (step, moved) in moved.iter_mut().enumerate() {
                *moved += weight * responses[at - step - 1];
            }
            moved.push(*weight);
            totals.push(sigma * moved.iter().map(|m| m * m).sum::<f64>().sqrt());
        }
        Self::normal(point, &days, &totals)
    }

    /// The total of the first so many days; zeros where it says nothing of them.
    #[must_use]
    pub fn total(&self, days: usize) -> Quantiles {
        days.checked_sub(1).and_then(|last| self.totals.get(last)).copied().unwrap_or_default()
    }

    /// The same, with nothing below 0.
    #[must_use]
    pub fn not_negative(self) -> Self {
        let above = |all: Vec<Quantiles>| all.into_iter().map(|q| q.above(0.0)).collect();
        Self { days: above(self.days), totals: above(self.totals) }
    }
}

/// The value below which a share of sorted values lies, interpolated between its neighbours; 0 of
/// nothing.
#[must_use]
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = (share.clamp(0.0, 1.0)) * last as f64;
    let below = (place.floor() as usize).min(last);
    let above = (below + 1).min(last);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

/// The middle of some values; 0 of nothing.
#[must_use]
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// The mean of some values; 0 of nothing.
#[must_use]
pub(super) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_random_walk_add_up() {
        // Every error stays for ever: day h has h of them, the total of two days 1² + 2² of them.
        let walk = Forecast::linear(&[5.0; 3], 1.0, &[1.0; 3], |_| 1.0);
        let half = |q: &Quantiles| (q.p90 - q.p50) / NORMAL_P90;
        let days: Vec<f64> = walk.days.iter().map(half).collect();
        assert!((days[2] - 3.0_f64.sqrt()).abs() < 1e-12, "{days:?}");
        assert!((half(&walk.totals[1]) - 5.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(walk.total(3).p50, 15.0);
    }

    #[test]
    fn quantiles_are_interpolated() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 0.25), 1.5);
        assert_eq!(quantile(&[], 0.25), 0.0);
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
    }
}
