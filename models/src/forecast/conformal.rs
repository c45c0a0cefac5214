//! Quantiles widened or narrowed until past outcomes fit them.
//!
//! Split conformal prediction over rolling origins (Vovk, Gammerman & Shafer 2005; in the manner of
//! Romano, Patterson & Candès 2019, *Conformalized quantile regression*, with the model's own half
//! widths as the scale): on each side the half width is multiplied by the 0.9-quantile of past
//! deviations in half widths. Deviations: days of one forecast are not exchangeable, so there is no
//! guarantee; and the multiplier is drawn towards 1 while origins are few.

use super::backtest::Past;
use super::quantiles::quantile;
use super::{Forecast, Quantiles};

/// Days that are judged together: errors of the next week tell little of those in two months.
const ENDS: [usize; 4] = [7, 30, 60, usize::MAX];
/// Origins that the model's own width counts for.
const PRIOR_ORIGINS: f64 = 1.5;
/// Errors grow faster with the horizon than models say of themselves: by this much from a stretch to
/// the next, until the stretch itself tells.
const GROWTH: f64 = 1.3;
/// No half width is multiplied by more.
const FACTOR_MAX: f64 = 12.0;
/// The share of outcomes that lie below p90, and above p10.
const SHARE: f64 = 0.9;

/// The forecast with quantiles that past forecasts of the same model would have needed. `values`
/// are those known now.
#[must_use]
pub fn calibrate(forecast: &Forecast, past: &[Past<'_>], values: &[f64]) -> Forecast {
    let mut scores = Scores::default();
    for (origin, said) in past {
        let mut total = Some(0.0);
        let actual = values.iter().skip(*origin);
        for (at, (actual, (day, so_far))) in
            actual.zip(said.days.iter().zip(&said.totals)).enumerate()
        {
            // A total with a hole is not known.
            total = total.filter(|_| actual.is_finite()).map(|total| total + actual);
            if actual.is_finite() {
                scores.days.add((*origin, at), day, *actual);
            }
            if let Some(total) = total {
                scores.totals.add((*origin, at), so_far, total);
            }
        }
    }
    Forecast {
        days: scores.days.applied(&forecast.days),
        totals: scores.totals.applied(&forecast.totals),
    }
}

#[derive(Debug, Default)]
struct Scores {
    days: Sides,
    totals: Sides,
}

/// Deviations in half widths, by stretch of days ahead.
#[derive(Debug, Default)]
struct Sides {
    stretches: [Stretch; ENDS.len()],
}

#[derive(Debug, Default)]
struct Stretch {
    below: Vec<f64>,
    above: Vec<f64>,
    /// Those that told something of it, each once.
    origins: Vec<usize>,
}

fn stretch(at: usize) -> usize {
    ENDS.iter().position(|end| at < *end).unwrap_or(ENDS.len() - 1)
}

impl Sides {
    fn add(&mut self, (origin, at): (usize, usize), said: &Quantiles, actual: f64) {
        let half = |width: f64, off: f64| match (width > 0.0, off.abs() > 1e-9 * actual.abs()) {
            (true, _) => (off / width).clamp(-FACTOR_MAX, FACTOR_MAX),
            // Without a width of its own, any miss is a large one.
            (false, true) => FACTOR_MAX * off.signum(),
            (false, false) => 0.0,
        };
        let stretch = &mut self.stretches[stretch(at)];
        if stretch.origins.last() != Some(&origin) {
            stretch.origins.push(origin);
        }
        stretch.above.push(half(said.p90 - said.p50, actual - said.p50));
        stretch.below.push(half(said.p50 - said.p10, said.p50 - actual));
    }

    fn applied(&self, said: &[Quantiles]) -> Vec<Quantiles> {
        let factors: Vec<(f64, f64)> = (0..ENDS.len())
            .map(|at| (self.factor(at, |s| &s.below), self.factor(at, |s| &s.above)))
            .collect();
        let widen = |(at, q): (usize, &Quantiles)| {
            let (below, above) = factors[stretch(at)];
            let p10 = q.p50 - below * (q.p50 - q.p10);
            // What cannot be negative stays so.
            let p10 = if q.p10 >= 0.0 { p10.max(0.0) } else { p10 };
            Quantiles { p10, p50: q.p50, p90: q.p50 + above * (q.p90 - q.p50) }
        };
        said.iter().enumerate().map(widen).collect()
    }

    /// Of a stretch. It is drawn towards what that of the stretch before lets expect, and the first
    /// one's towards 1, the more the fewer origins it is known from.
    fn factor(&self, at: usize, side: fn(&Stretch) -> &Vec<f64>) -> f64 {
        let prior = match at.checked_sub(1) {
            Some(before) => GROWTH * self.factor(before, side),
            None => 1.0,
        };
        let mut sorted = side(&self.stretches[at]).clone();
        if sorted.is_empty() {
            return prior;
        }
        sorted.sort_by(f64::total_cmp);
        // Days of one origin err together: they count as one observation.
        let origins = self.stretches[at].origins.len() as f64;
        // Of n observations the (n + 1)-th exceeds the greatest with probability 1/(n + 1): the
        // share that is looked for among them is the larger the fewer they are.
        let share = 1.0 - (1.0 - SHARE) * origins / (origins + 2.0);
        let found = quantile(&sorted, share).clamp(0.0, FACTOR_MAX);
        (origins * found + PRIOR_ORIGINS * prior) / (origins + PRIOR_ORIGINS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_narrow_quantiles_are_widened_to_what_came() {
        // Says 10 ± 1.28 at every origin, and finds 10 ± 5.
        let said = Forecast::normal(&[10.0; 14], &[1.0; 14], &[4.0; 14]);
        let values: Vec<f64> =
            (0..400).map(|day| 10.0 + f64::from(day * 7 % 101 - 50) / 10.0).collect();
        let past: Vec<Past<'_>> = (0..28).map(|at| (at * 14, &said)).collect();
        let found = calibrate(&said, &past, &values);
        let inside = |q: &Quantiles| {
            let all = values.iter().filter(|value| (q.p10..=q.p90).contains(*value));
            all.count() as f64 / values.len() as f64
        };
        let covered = inside(&found.days[3]);
        assert!((0.75..=0.9).contains(&covered), "{covered} {:?}", found.days[3]);
        assert_eq!(found.days[3].p50, 10.0);
    }

    #[test]
    fn without_a_past_nothing_changes() {
        let said = Forecast::normal(&[10.0; 3], &[1.0; 3], &[1.0; 3]);
        let same = calibrate(&said, &[], &[]);
        assert!((same.days[0].p90 - said.days[0].p90).abs() < 1e-12);
    }

    #[test]
    fn further_days_are_trusted_less() {
        let said = Forecast::normal(&[10.0; 90], &[1.0; 90], &[1.0; 90]);
        let found = calibrate(&said, &[], &[]);
        assert!(found.days[80].p90 > 1.4 * (said.days[80].p90 - 10.0) + 10.0);
    }
}
