//! Robust smoothing: levels that an outlier hardly moves and a shift moves soon, at several speeds.
//!
//! Exponential smoothing with clipped errors (Gelper, Fried & Croux 2010, *Robust forecasting with
//! exponential and Holt–Winters smoothing*), without and with a damped trend (the median slope of
//! Theil and Sen), and where a history exceeds a year, with the course that the year before took.
//! Each of these candidates is a forecast of its own; they are weighted by how far their totals of
//! four weeks were off at earlier origins of the same history. The week's pattern is a median of
//! ratios, shrunk by how much it varies.

use super::quantiles::{NORMAL_P90, mean, median, quantile};
use super::{Cadence, Forecast, Forecaster, History};
use crate::Result;

/// Speeds of the levels, from one that averages over a quarter to one that follows within a week;
/// of months, up to one that takes the last for what it is.
const SPEEDS_DAYS: [f64; 4] = [0.04, 0.1, 0.2, 0.4];
const SPEEDS_MONTHS: [f64; 4] = [0.5, 0.75, 0.9, 1.0];
/// One-step errors of days count no further than this many typical ones. Those of months count in
/// full: a month is a sum already, and waiting for a second one would be waiting too long.
const CLIP: f64 = 3.0;
/// How fast the typical error is learned.
const SCALE_SPEED: f64 = 0.1;
/// Days whose pattern of the week is looked at.
const PATTERN_DAYS: usize = 84;
/// Days whose median slope is the trend.
const TREND_DAYS: usize = 56;
/// A trend's damping a day: after two weeks half of it is left.
const DAMPING: f64 = 0.95;
/// A year, in whole weeks so that days of the week meet.
const YEAR: usize = 364;
/// How much of last year's course is expected again.
const YEAR_SHARE: f64 = 0.7;
/// Days of a total by which candidates are judged, and days between origins at which they are.
const JUDGED: usize = 28;
const JUDGED_STEP: usize = 7;
/// Origins looked back on at most.
const JUDGED_ORIGINS: usize = 20;
/// Weights are past errors to the minus this.
const POWER: f64 = 4.0;

/// Weighted robust smoothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Robust;

impl Forecaster for Robust {
    fn name(&self) -> &'static str {
        "robust"
    }

    fn forecast(&mut self, history: &History<'_>, horizon: usize, _seed: u64) -> Result<Forecast> {
        let rates = history.rates()?;
        let period = history.period();
        let pattern = Pattern::of(&rates, period);
        let plain: Vec<f64> =
            rates.iter().enumerate().map(|(at, rate)| pattern.without(*rate, at)).collect();
        let (speeds, clip) = match history.cadence() {
            Cadence::Daily => (SPEEDS_DAYS, CLIP),
            Cadence::Monthly => (SPEEDS_MONTHS, f64::INFINITY),
        };
        let levels = speeds.map(|speed| Level { speed, after: smooth(&plain, speed, clip) });
        let candidates = Candidate::all(period);
        let shares = shares(&plain, &levels, &candidates);
        let paths = candidates.iter().zip(&shares).filter(|(_, share)| **share > 0.0);
        let paths: Vec<(f64, Vec<f64>)> = paths
            .filter_map(|(c, share)| Some((*share, c.path(&plain, &levels, plain.len(), horizon)?)))
            .collect();
        let known: f64 = paths.iter().map(|(share, _)| share).sum();
        let rate = |at: usize| {
            let level = paths.iter().map(|(share, path)| share * path[at]).sum::<f64>() / known;
            pattern.with(level, plain.len() + at)
        };
        let weights = history.values_of(vec![1.0; horizon]);
        let point: Vec<f64> = (0..horizon).map(|at| rate(at) * weights[at]).collect();
        let speed: f64 = candidates.iter().zip(&shares).map(|(c, s)| speeds[c.level] * s).sum();
        let forecast =
            Forecast::linear(&point, spread(&plain, &levels[1].after), &weights, |_| speed);
        Ok(if history.may_be_negative() { forecast } else { forecast.not_negative() })
    }
}

/// A level that follows at one speed.
#[derive(Debug, Clone, PartialEq)]
struct Level {
    speed: f64,
    /// After each value.
    after: Vec<f64>,
}

/// The deviation of a normal distribution whose p10 and p90 lie as far apart as those of the
/// one-step errors.
fn spread(plain: &[f64], levels: &[f64]) -> f64 {
    let from = plain.len().saturating_sub(180).max(1);
    let mut errors: Vec<f64> = (from..plain.len()).map(|at| plain[at] - levels[at - 1]).collect();
    errors.sort_by(f64::total_cmp);
    (quantile(&errors, 0.9) - quantile(&errors, 0.1)) / (2.0 * NORMAL_P90)
}

/// The level after each value.
fn smooth(values: &[f64], speed: f64, clip: f64) -> Vec<f64> {
    let first = &values[..values.len().min(if clip.is_finite() { 14 } else { 1 })];
    let mut level = median(first.iter().copied());
    let steps: Vec<f64> = values.windows(2).take(28).map(|w| (w[1] - w[0]).abs()).collect();
    // The mean, not the median, of steps: where most days cost nothing the median would be 0.
    let mut scale = mean(&steps);
    let follow = |value: &f64| {
        let error = value - level;
        let limit = clip * scale.max(f64::MIN_POSITIVE);
        level += speed * error.clamp(-limit, limit);
        // An outlier makes the next ones a little more believable: a shift is taken up in days.
        scale += SCALE_SPEED * (error.abs().min(4.0 * scale.max(f64::MIN_POSITIVE)) - scale);
        if scale <= 0.0 {
            scale = error.abs();
        }
        level
    };
    values.iter().map(follow).collect()
}

/// The pattern of the week.
#[derive(Debug, Clone, PartialEq)]
struct Pattern {
    /// By place modulo its length.
    days: Vec<f64>,
    /// Whether days multiply the level, or add to it.
    is_ratio: bool,
}

impl Pattern {
    fn of(rates: &[f64], period: usize) -> Self {
        let from = rates.len().saturating_sub(PATTERN_DAYS);
        let recent = &rates[from..];
        let is_ratio = recent.iter().all(|rate| *rate > 0.0);
        if period < 2 || recent.len() < 3 * period {
            return Self { days: vec![0.0], is_ratio: false };
        }
        let half = period / 2;
        let mut deviations = vec![vec![]; period];
        for at in half..recent.len() - half {
            let around = mean(&recent[at - half..=at + half]);
            let deviation = recent[at] - around;
            let deviation = if is_ratio { deviation / around } else { deviation };
            deviations[(from + at) % period].push(deviation);
        }
        let medians: Vec<f64> = deviations.iter().map(|d| median(d.iter().copied())).collect();
        let centre = mean(&medians);
        let shrunk = deviations.iter().zip(&medians).map(|(days, middle)| {
            let middle = middle - centre;
            let distance = median(days.iter().map(|day| (day - centre - middle).abs()));
            // The variance of a median of normal numbers (1.2533²/n), their deviation from the
            // median distance (1.4826).
            let noise = (1.2533 * 1.4826 * distance).powi(2) / days.len().max(1) as f64;
            let signal = middle * middle;
            if signal > 0.0 { middle * signal / (signal + noise) } else { 0.0 }
        });
        Self { days: shrunk.collect(), is_ratio }
    }

    fn day(&self, at: usize) -> f64 {
        self.days[at % self.days.len()]
    }

    fn with(&self, level: f64, at: usize) -> f64 {
        if self.is_ratio { level * (1.0 + self.day(at)) } else { level + self.day(at) }
    }

    fn without(&self, rate: f64, at: usize) -> f64 {
        if self.is_ratio { rate / (1.0 + self.day(at)) } else { rate - self.day(at) }
    }
}

/// What shapes a path besides its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Flat,
    Trend,
    Year,
}

/// One way to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    level: usize,
    course: Course,
}

impl Candidate {
    fn all(period: usize) -> Vec<Self> {
        let courses: &[Course] = match period {
            // Months are too few to learn a course from: their levels change by steps.
            1 => &[Course::Flat],
            _ => &[Course::Flat, Course::Trend, Course::Year],
        };
        let levels = 0..SPEEDS_DAYS.len();
        levels.flat_map(|level| courses.iter().map(move |&course| Self { level, course })).collect()
    }

    /// The levels after `origin` values, which are all it sees; `None` where they are too few for it.
    fn path(
        self,
        plain: &[f64],
        levels: &[Level],
        origin: usize,
        horizon: usize,
    ) -> Option<Vec<f64>> {
        let Level { speed, after } = &levels[self.level];
        let level = after[origin.checked_sub(1)?];
        match self.course {
            Course::Flat => Some(vec![level; horizon]),
            Course::Trend => {
                let slope = slope(&plain[origin.saturating_sub(TREND_DAYS)..origin])?;
                let mut step = slope;
                let mut at = level;
                let mut next = || {
                    step *= DAMPING;
                    at += step;
                    at
                };
                Some((0..horizon).map(|_| next()).collect())
            }
            Course::Year => {
                let then = origin.checked_sub(YEAR)?;
                // As many days around then as the level's speed averages over now.
                let reach = (1.0 / speed) as usize + 3;
                let base = mean(&plain[then.checked_sub(reach)?..then]);
                if base <= 0.0 {
                    return None;
                }
                let course = (0..horizon).map(|at| {
                    let day = then + at % YEAR;
                    let around = &plain[day - 3..(day + 4).min(origin)];
                    level * (1.0 + YEAR_SHARE * (mean(around) / base - 1.0)).max(0.0)
                });
                Some(course.collect())
            }
        }
    }
}

/// The median slope between values a week or more apart (Theil 1950, Sen 1968).
fn slope(values: &[f64]) -> Option<f64> {
    let apart = 7.min(values.len() / 2);
    if apart == 0 || values.len() < 6 {
        return None;
    }
    let mut slopes = Vec::new();
    for from in (0..values.len()).step_by(2) {
        for to in (from + apart..values.len()).step_by(3) {
            slopes.push((values[to] - values[from]) / (to - from) as f64);
        }
    }
    Some(median(slopes))
}

/// Each candidate's share, by its past errors over [`JUDGED`] days; they sum to 1.
fn shares(plain: &[f64], levels: &[Level], candidates: &[Candidate]) -> Vec<f64> {
    // Of months, the next one is judged, at every origin.
    let is_daily = candidates.len() > levels.len();
    let (judged, step, least) = if is_daily { (JUDGED, JUDGED_STEP, 14) } else { (1, 1, 3) };
    let last = plain.len().checked_sub(judged);
    let origins: Vec<usize> = last
        .map(|last| (0..JUDGED_ORIGINS).map_while(|back| last.checked_sub(back * step)).collect())
        .unwrap_or_default();
    let origins: Vec<usize> = origins.into_iter().filter(|origin| *origin >= least).collect();
    let size =
        mean(&plain.iter().map(|value| value.abs()).collect::<Vec<_>>()).max(f64::MIN_POSITIVE);
    let errors: Vec<Option<f64>> = candidates
        .iter()
        .map(|candidate| {
            let errors: Vec<f64> = origins
                .iter()
                .filter_map(|&origin| {
                    let path = candidate.path(plain, levels, origin, judged)?;
                    let actual = mean(&plain[origin..origin + judged]);
                    Some((mean(&path) - actual).abs() / size)
                })
                .collect();
            // Judged as often as the others, or not trusted.
            (errors.len() >= origins.len().min(6) && !errors.is_empty()).then(|| mean(&errors))
        })
        .collect();
    let known: Vec<f64> = errors.iter().flatten().copied().collect();
    if known.is_empty() {
        // Nothing to judge by: the middle speeds, flat.
        let is_middle = |c: &Candidate| c.course == Course::Flat && (1..=2).contains(&c.level);
        return candidates.iter().map(|c| if is_middle(c) { 0.5 } else { 0.0 }).collect();
    }
    // A floor, so that one lucky candidate does not take all.
    let floor = 0.25 * median(known) + 1e-9;
    let raw: Vec<f64> =
        errors.iter().map(|error| error.map_or(0.0, |e| (e + floor).powf(-POWER))).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|share| share / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(values: &[f64], horizon: usize) -> Vec<f64> {
        let history = History::new(Cadence::Daily, 0, values);
        let found = Robust.forecast(&history, horizon, 1).unwrap();
        found.days.iter().map(|day| day.p50).collect()
    }

    #[test]
    fn a_constant_stays_and_so_does_nothing() {
        assert!(point(&[5.0; 40], 30).iter().all(|day| (day - 5.0).abs() < 1e-9));
        assert!(point(&[0.0; 40], 30).iter().all(|day| *day == 0.0));
        assert!(point(&[5.0; 3], 30).iter().all(|day| (day - 5.0).abs() < 1e-9));
    }

    #[test]
    fn a_weekly_pattern_is_continued() {
        let values: Vec<f64> = (0..100).map(|day| 10.0 + f64::from(day % 7)).collect();
        for (at, day) in point(&values, 14).iter().enumerate() {
            assert!((day - (10.0 + ((100 + at) % 7) as f64)).abs() < 0.05, "{at}: {day}");
        }
    }

    #[test]
    fn an_outlier_hardly_moves_it() {
        let mut values: Vec<f64> = (0..90).map(|day| 10.0 + f64::from(day % 3)).collect();
        values[85] = 500.0;
        assert!(point(&values, 30).iter().all(|day| (day - 11.0).abs() < 1.2));
    }

    #[test]
    fn a_level_shift_is_taken_up_within_weeks() {
        let shifted = |day: i32| f64::from(day % 3) + if day < 70 { 10.0 } else { 20.0 };
        let values: Vec<f64> = (0..98).map(shifted).collect();
        let found = mean(&point(&values, 30));
        assert!((found - 21.0).abs() < 1.0, "{found}");
    }

    #[test]
    fn days_that_mostly_cost_nothing_keep_their_mean() {
        let values: Vec<f64> = (0..120).map(|day| if day % 4 == 0 { 8.0 } else { 0.0 }).collect();
        let found = mean(&point(&values, 28));
        assert!((found - 2.0).abs() < 0.7, "{found}");
    }
}
