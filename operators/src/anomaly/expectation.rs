//! What a day should have come to, from the days before it.
//!
//! A level that follows the days by exponential smoothing and lets outliers pass by it (after Gelper,
//! Fried & Croux 2010, *Robust forecasting with exponential and Holt–Winters smoothing*; here an
//! outlier has no weight rather than a small one), with the week's pattern as shares of the level,
//! and with what recurs on the same day of each month. Days that lie as far off in the same direction
//! for a week are the new level. The scale is what one-day errors usually are.
//!
//! It is a pure function of the days before: nothing of what was said of them is remembered.

/// How much of an error the level takes up.
const SPEED: f64 = 0.3;
/// How fast the typical error is learned.
const SCALE_SPEED: f64 = 0.1;
/// An error of more typical ones than this is an outlier.
const OUTLIER: f64 = 4.0;
/// So many outliers in a row, all above or all below, are a new level.
const SHIFT: usize = 7;
/// Days in a pattern.
pub(super) const WEEK: usize = 7;
/// Known days from which on a week's pattern is looked for.
const PATTERN_DAYS: usize = 21;
/// No scale is less than this share of the level: no bill is known better.
const SCALE_MIN: f64 = 0.02;
/// Recent errors that the scale is read from.
const RECENT: usize = 56;
/// What recurs on a day of the month counts where each time it was more scales off than this.
const RECURS: f64 = 3.0;
/// The scale of what recurs, as a share of it.
const RECURRING_SCALE: f64 = 0.15;

/// The next day's expected value, and how far off such expectations usually are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Expectation {
    pub(super) value: f64,
    pub(super) scale: f64,
}

/// What the day after `days` should come to; absent days are `NaN`. `same_day` are the places of those
/// that have its day of the month. Nothing known is expected to stay nothing.
pub(super) fn expect(days: &[f64], same_day: &[usize]) -> Expectation {
    let pattern = Pattern::of(days);
    let class = |at: usize| (days.len() - at) % WEEK;
    let known: Vec<(usize, f64)> = (0..days.len())
        .filter(|at| days[*at].is_finite())
        .map(|at| (at, pattern.without(days[at], class(at))))
        .collect();
    let first: Vec<f64> = known.iter().take(2 * WEEK).map(|(_, value)| *value).collect();
    let mut level = median(first.iter().take(WEEK).copied());
    let mut scale = 1.4826 * median(first.iter().map(|value| (value - level).abs()));
    let mut said: Vec<(usize, f64)> = Vec::with_capacity(known.len());
    let mut errors = Vec::with_capacity(known.len());
    let mut run: Vec<f64> = Vec::new();
    for (at, value) in known {
        let least = SCALE_MIN * level.abs();
        let typical = scale.max(least);
        let error = value - level;
        said.push((at, level));
        errors.push(error.abs());
        if error.abs() <= OUTLIER * typical {
            level += SPEED * error;
            run.clear();
        } else {
            if run.first().is_some_and(|known| (known - level) * error < 0.0) {
                run.clear();
            }
            run.push(value);
            if run.len() == SHIFT {
                level = median(run.drain(..));
            }
        }
        // 1.2533: from a normal mean distance to a deviation.
        scale += SCALE_SPEED * (1.2533 * error.abs().min(2.5 * typical) - scale);
    }
    // A run of outliers that goes on is what is to be judged, not what is usual.
    errors.truncate(errors.len() - run.len());
    let mut recent = errors.split_off(errors.len().saturating_sub(RECENT));
    recent.sort_by(f64::total_cmp);
    // The usual error from the middle of errors, or from their tail where that is longer.
    let usual = (1.4826 * quantile(&recent, 0.5)).max(quantile(&recent, 0.9) / 1.645);
    let scale = usual.max(SCALE_MIN * level.abs());
    let share = pattern.scale(0);
    let mut expected =
        Expectation { value: pattern.with(level, 0), scale: (scale * share).max(1e-6) };
    let recurring: Vec<f64> = said
        .iter()
        .filter(|(at, _)| same_day.contains(at))
        .map(|(at, level)| days[*at] - pattern.with(*level, class(*at)))
        .collect();
    let far = RECURS * expected.scale;
    if !recurring.is_empty()
        && (recurring.iter().all(|off| *off > far) || recurring.iter().all(|off| *off < -far))
    {
        let usual = median(recurring);
        expected.value += usual;
        expected.scale = expected.scale.max(RECURRING_SCALE * usual.abs());
    }
    expected
}

/// How days of the week differ from the level: by shares of it, or by amounts where days are not all
/// positive. Class 0 is the day of the week that comes next.
struct Pattern {
    off: [f64; WEEK],
    is_ratio: bool,
}

impl Pattern {
    fn of(days: &[f64]) -> Self {
        let mut pattern = Self { off: [0.0; WEEK], is_ratio: false };
        let known = days.iter().filter(|day| day.is_finite());
        if known.clone().count() < PATTERN_DAYS {
            return pattern;
        }
        pattern.is_ratio = known.clone().all(|day| *day > 0.0);
        let mut by_class: [Vec<f64>; WEEK] = Default::default();
        let half = WEEK / 2;
        for at in half..days.len().saturating_sub(half) {
            let around = &days[at - half..=at + half];
            // A whole week, so that every day of it is in the middle's account once.
            if around.iter().any(|day| !day.is_finite()) {
                continue;
            }
            let middle = around.iter().sum::<f64>() / WEEK as f64;
            let off = days[at] - middle;
            by_class[(days.len() - at) % WEEK].push(if pattern.is_ratio {
                off / middle
            } else {
                off
            });
        }
        for (off, seen) in pattern.off.iter_mut().zip(&by_class) {
            if seen.len() < 2 {
                continue;
            }
            let middle = median(seen.iter().copied());
            let spread = median(seen.iter().map(|off| (off - middle).abs()));
            // Shrunk by the variance of a median, 1.2533² σ² / n, with σ from the middle distance.
            let noise = (1.2533 * 1.4826 * spread).powi(2) / seen.len() as f64;
            let signal = middle * middle;
            *off = if signal > 0.0 { middle * signal / (signal + noise) } else { 0.0 };
        }
        let centre = pattern.off.iter().sum::<f64>() / WEEK as f64;
        pattern.off.iter_mut().for_each(|off| *off -= centre);
        pattern
    }

    fn with(&self, level: f64, class: usize) -> f64 {
        if self.is_ratio { level * (1.0 + self.off[class]) } else { level + self.off[class] }
    }

    fn without(&self, value: f64, class: usize) -> f64 {
        if self.is_ratio {
            value / (1.0 + self.off[class]).max(0.05)
        } else {
            value - self.off[class]
        }
    }

    /// By how much errors of a class exceed those of the level.
    fn scale(&self, class: usize) -> f64 {
        if self.is_ratio { (1.0 + self.off[class]).max(0.05) } else { 1.0 }
    }
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = share * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

/// The middle of some values; 0 of nothing.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(at: usize) -> f64 {
        ((at * 7919 + 13) % 101) as f64 / 50.0 - 1.0
    }

    #[test]
    fn a_level_with_its_week_is_expected_to_go_on() {
        let day = |at: usize| {
            let week = if at % 7 >= 5 { 60.0 } else { 100.0 };
            week + noise(at)
        };
        let days: Vec<f64> = (0..96).map(day).collect();
        for length in [40, 61, 90, 95] {
            let found = expect(&days[..length], &[]);
            let calm = day(length) - noise(length);
            assert!((found.value - calm).abs() < 2.5, "{length}: {found:?}, {calm}");
            assert!(found.scale < 2.5, "{found:?}");
        }
    }

    #[test]
    fn outliers_pass_by_and_a_week_of_them_is_a_level() {
        let mut days: Vec<f64> = (0..60).map(|at| 100.0 + noise(at)).collect();
        days[55] = 400.0;
        days[57] = 380.0;
        assert!((expect(&days, &[]).value - 100.0).abs() < 1.5);
        let mut shifted: Vec<f64> = (0..60).map(|at| 100.0 + noise(at)).collect();
        shifted[54..].iter_mut().for_each(|day| *day += 50.0);
        assert!((expect(&shifted, &[]).value - 100.0).abs() < 8.0, "six days are no level yet");
        shifted.push(150.0);
        let found = expect(&shifted, &[]);
        assert!((found.value - 150.0).abs() < 8.0, "{found:?}");
    }

    #[test]
    fn what_recurs_each_month_is_expected() {
        let mut days: Vec<f64> = (0..90).map(|at| 100.0 + noise(at)).collect();
        days[30] = 260.0;
        days[60] = 250.0;
        let plain = expect(&days, &[]);
        let found = expect(&days, &[30, 60]);
        assert!((plain.value - 100.0).abs() < 1.5, "{plain:?}");
        assert!((found.value - 255.0).abs() < 8.0 && found.scale > 20.0, "{found:?}");
        assert!((expect(&days, &[30, 59]).value - 100.0).abs() < 1.5, "once is no habit");
    }

    #[test]
    fn nothing_stays_nothing_and_holes_are_left_out() {
        assert_eq!(expect(&[], &[]).value, 0.0);
        assert_eq!(expect(&[0.0; 40], &[]).value, 0.0);
        assert_eq!(expect(&[f64::NAN; 40], &[]).value, 0.0);
        let holes: Vec<f64> = (0..40).map(|at| if at % 3 == 0 { f64::NAN } else { 5.0 }).collect();
        assert!((expect(&holes, &[]).value - 5.0).abs() < 1e-9);
        let credits: Vec<f64> = (0..40).map(|at| -5.0 + 0.1 * noise(at)).collect();
        assert!((expect(&credits, &[]).value + 5.0).abs() < 0.2);
    }
}
