//! Simulated bills to learn from: what may happen to a cost, drawn in every combination.
//!
//! A series has a level of its own and, each with some probability: a pattern of the week, noise
//! that lasts, a level that wanders, growth that comes and goes, shifts (sudden, by a ramp, or for a
//! time), spikes, a fee on one day of the month, a course of the year, days without any cost. The
//! ranges are wide on purpose; they were not fitted to any series of the evaluation.

use super::{DAYS_AHEAD, DAYS_READ};
use crate::learn::random::Random;

/// Days of a series: read, and ahead.
pub(super) const DAYS: usize = DAYS_READ + DAYS_AHEAD;

/// A simulated bill.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bill {
    /// Cost of each day, not negative.
    pub(super) days: Vec<f64>,
    /// Days from the first on that are not known to the reader: the account was not there yet.
    pub(super) unknown: usize,
}

/// Draws one bill.
pub(super) fn bill(random: &mut Random) -> Bill {
    let mut draw = Draw(random);
    let mut days = vec![1.0; DAYS];
    let plain = draw.happens(0.08);
    draw.growth(&mut days);
    draw.shifts(&mut days);
    draw.year(&mut days);
    draw.week(&mut days);
    if !plain {
        draw.wandering(&mut days);
        draw.noise(&mut days);
        draw.spikes(&mut days);
        draw.fee(&mut days);
        draw.gaps(&mut days);
    }
    days.iter_mut().for_each(|day| *day = day.clamp(0.0, 1e4));
    let unknown = match draw.happens(0.35) {
        true => draw.between(0.0, (DAYS_READ - 14) as f64) as usize,
        false => 0,
    };
    Bill { days, unknown }
}

struct Draw<'a>(&'a mut Random);

impl Draw<'_> {
    fn happens(&mut self, probability: f64) -> bool {
        self.0.uniform() < probability
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.uniform()
    }

    /// Even in the logarithm.
    fn around(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// Standard normal (Box & Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.0.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.0.uniform()).cos()
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.0.uniform()).ln()
    }

    /// Days apart by exponential times, so many of them on average.
    fn moments(&mut self, expected: f64) -> Vec<usize> {
        let mut at = 0.0;
        let mut moments = Vec::new();
        loop {
            at += self.exponential(DAYS as f64 / expected);
            if at >= DAYS as f64 {
                return moments;
            }
            moments.push(at as usize);
        }
    }

    fn growth(&mut self, days: &mut [f64]) {
        if !self.happens(0.4) {
            return;
        }
        let expected = self.between(0.2, 3.0);
        let bends = self.moments(expected);
        let mut rate = 0.004 * self.normal();
        let mut level: f64 = 0.0;
        for (at, day) in days.iter_mut().enumerate() {
            if bends.contains(&at) {
                rate = if self.happens(0.4) { 0.0 } else { 0.004 * self.normal() };
            }
            level = (level + rate).clamp(-2.0, 2.0);
            *day *= level.exp();
        }
    }

    fn shifts(&mut self, days: &mut [f64]) {
        if !self.happens(0.6) {
            return;
        }
        let expected = self.around(0.3, 4.0);
        for from in self.moments(expected) {
            let size = (0.4 * self.normal()).clamp(-1.5, 1.5);
            let ramp = if self.happens(0.3) { self.between(5.0, 30.0) } else { 1.0 };
            let lasts = if self.happens(0.25) { self.between(5.0, 40.0) } else { f64::INFINITY };
            for (at, day) in days.iter_mut().enumerate().skip(from) {
                let passed = (at - from) as f64 + 1.0;
                if passed <= lasts {
                    *day *= (size * (passed / ramp).min(1.0)).exp();
                }
            }
        }
    }

    fn year(&mut self, days: &mut [f64]) {
        if !self.happens(0.3) {
            return;
        }
        let (size, phase) = (self.around(0.02, 0.4), self.between(0.0, 1.0));
        for (at, day) in days.iter_mut().enumerate() {
            let angle = std::f64::consts::TAU * (at as f64 / 365.25 + phase);
            *day *= 1.0 + size * angle.sin();
        }
    }

    fn week(&mut self, days: &mut [f64]) {
        let mut factors = [1.0; 7];
        if self.happens(0.4) {
            let first = self.between(0.0, 7.0) as usize;
            let weekend = 1.0 - self.between(0.0, 0.6);
            factors[first % 7] *= weekend;
            factors[(first + 1) % 7] *= weekend * (1.0 + 0.05 * self.normal());
        }
        if self.happens(0.5) {
            let size = self.around(0.01, 0.15);
            factors.iter_mut().for_each(|factor| *factor *= (size * self.normal()).exp());
        }
        days.iter_mut().enumerate().for_each(|(at, day)| *day *= factors[at % 7]);
    }

    fn wandering(&mut self, days: &mut [f64]) {
        if !self.happens(0.5) {
            return;
        }
        let size = self.around(0.001, 0.04);
        let pull = if self.happens(0.5) { self.around(0.01, 0.2) } else { 0.0 };
        let mut level: f64 = 0.0;
        for day in days {
            level += size * self.normal() - pull * level;
            *day *= level.clamp(-2.5, 2.5).exp();
        }
    }

    fn noise(&mut self, days: &mut [f64]) {
        let size = self.around(0.002, 0.3);
        let lasting = if self.happens(0.5) { self.between(0.0, 0.85) } else { 0.0 };
        let fresh = size * (1.0 - lasting * lasting).sqrt();
        let mut state = size * self.normal();
        for day in days {
            state = lasting * state + fresh * self.normal();
            *day *= (1.0 + state).max(0.0);
        }
    }

    fn spikes(&mut self, days: &mut [f64]) {
        if !self.happens(0.4) {
            return;
        }
        let expected = self.around(0.5, 8.0);
        for at in self.moments(expected) {
            let is_up = self.happens(0.8);
            let up = 1.0 + self.exponential(1.0);
            let lasts = 1 + self.exponential(0.8) as usize;
            for day in days.iter_mut().skip(at).take(lasts) {
                *day *= if is_up { up } else { 1.0 / up };
            }
        }
    }

    fn fee(&mut self, days: &mut [f64]) {
        if !self.happens(0.12) {
            return;
        }
        let (size, first) = (self.around(0.1, 4.0), self.between(0.0, 30.4) as usize);
        let mut at = first as f64;
        while (at as usize) < days.len() {
            days[at as usize] += size;
            at += 30.44;
        }
    }

    fn gaps(&mut self, days: &mut [f64]) {
        if !self.happens(0.05) {
            return;
        }
        let share = self.between(0.2, 0.9);
        for day in days {
            if self.happens(share) {
                *day = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bills_are_not_negative_and_follow_from_the_seed() {
        let bills = |seed| {
            let mut random = Random::new(seed);
            (0..200).map(|_| bill(&mut random)).collect::<Vec<Bill>>()
        };
        let drawn = bills(3);
        assert_eq!(drawn, bills(3));
        assert_ne!(drawn, bills(4));
        for bill in &drawn {
            assert_eq!(bill.days.len(), DAYS);
            assert!(bill.days.iter().all(|day| day.is_finite() && *day >= 0.0));
            assert!(bill.unknown <= DAYS_READ - 14);
        }
        assert!(drawn.iter().any(|bill| bill.unknown > 0));
    }
}
