//! Run-to-failure data: is an engine near failure told from a healthy one, and how early?
//!
//! Nothing is labelled but the failure itself, at an engine's last cycle. The
//! first 30 % of a life are called healthy, the last 30 cycles near failure,
//! and what lies between is not judged. Engines are split, never cycles: models
//! learn from the healthy cycles of some engines, are calibrated on those of
//! others, and judged on whole lives of the rest.

use cloudops_operators::score::Scorer;

use super::judge::{Judged, Subject, judge};
use super::metrics::{auroc, false_positive_rate};
use super::row::Figures;
use super::series::{Healthy, Stretch};
use crate::{Error, Result, Samples};

/// The share of a life, from its start, that is called healthy.
pub const HEALTHY_SHARE: f64 = 0.3;

/// The cycles before failure that are called near failure.
pub const NEAR_FAILURE_CYCLES: usize = 30;

/// Engines followed from new to failure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fleet {
    /// The fleet's name, e.g. `FD001`.
    pub entity: String,
    /// Names of the channels.
    pub channels: Vec<String>,
    /// Each engine's whole life, one row a cycle, in the order of their numbers.
    pub engines: Vec<(String, Stretch)>,
}

/// What an engine is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Learn,
    Calibrate,
    Judge,
}

/// Of ten engines in a row, five are learned from, two calibrated on, three judged.
fn part(index: usize) -> Part {
    match index % 10 {
        0..5 => Part::Learn,
        5..7 => Part::Calibrate,
        _ => Part::Judge,
    }
}

fn healthy_cycles(life: usize) -> usize {
    (HEALTHY_SHARE * life as f64) as usize
}

impl Fleet {
    /// The healthy windows of `steps` cycles to learn from and to calibrate on.
    ///
    /// # Errors
    /// [`Error::Data`] when the engines are too few or fail too soon for a window.
    pub fn healthy(&self, steps: usize) -> Result<Healthy> {
        let windows = |wanted: Part| {
            let mut values = Vec::new();
            for (at, (_, life)) in self.engines.iter().enumerate() {
                if part(at) == wanted {
                    let ends = (steps - 1)..healthy_cycles(life.rows());
                    ends.filter_map(|last| life.window(last, steps))
                        .for_each(|window| values.extend_from_slice(window));
                }
            }
            Samples::new(steps, self.channels.len(), values)
        };
        let healthy = Healthy { train: windows(Part::Learn), holdout: windows(Part::Calibrate) };
        if healthy.train.is_empty() || healthy.holdout.is_empty() {
            return Err(Error::Data(format!(
                "{}: {} engines give no healthy windows of {steps} cycles to learn from and to calibrate on",
                self.entity,
                self.engines.len()
            )));
        }
        Ok(healthy)
    }

    /// Judges the engines set apart for it.
    ///
    /// # Errors
    /// The scorer's and the threshold operator's own.
    pub fn judge(&self, scorer: &mut dyn Scorer, steps: usize) -> Result<Figures> {
        let mut seen = Seen::default();
        for (at, (engine, life)) in self.engines.iter().enumerate() {
            if part(at) == Part::Judge && life.rows() >= steps {
                let subject =
                    Subject { entity: engine, stretch: life, from: steps - 1, causes: &[] };
                seen.add(life.rows(), steps, &judge(scorer, steps, subject)?);
            }
        }
        Ok(seen.figures())
    }
}

/// What was seen of the engines judged, pooled.
#[derive(Debug, Default)]
struct Seen {
    scores: Vec<f32>,
    near_failure: Vec<bool>,
    healthy: [Vec<bool>; 3],
    leads: [Vec<f64>; 2],
    engines: usize,
    windows: usize,
}

impl Seen {
    fn add(&mut self, life: usize, steps: usize, judged: &Judged) {
        let healthy = healthy_cycles(life);
        self.engines += 1;
        self.windows += judged.scores.len();
        for (at, &score) in judged.scores.iter().enumerate() {
            let cycle = at + steps - 1;
            let near_failure = cycle + NEAR_FAILURE_CYCLES >= life;
            if cycle < healthy || near_failure {
                self.scores.push(score);
                self.near_failure.push(near_failure);
            }
            if cycle < healthy {
                let verdicts = [&judged.flagged, &judged.by_static, &judged.by_adaptive];
                for (seen, verdict) in self.healthy.iter_mut().zip(verdicts) {
                    seen.push(verdict[at]);
                }
            }
        }
        for (leads, verdicts) in self.leads.iter_mut().zip([&judged.flagged, &judged.by_static]) {
            let from = healthy.saturating_sub(steps - 1);
            let alarm = verdicts.iter().skip(from).position(|&flagged| flagged);
            leads.extend(alarm.map(|at| (life - 1 - (at + from + steps - 1)) as f64));
        }
    }

    fn figures(&self) -> Figures {
        let rate = |verdicts: &[bool]| false_positive_rate(&vec![false; verdicts.len()], verdicts);
        let detected =
            |leads: &[f64]| (self.engines > 0).then(|| leads.len() as f64 / self.engines as f64);
        let [flagged, by_static, by_adaptive] = &self.healthy;
        Figures {
            auroc: auroc(&self.scores, &self.near_failure),
            fpr: rate(flagged),
            fpr_static: rate(by_static),
            fpr_adaptive: rate(by_adaptive),
            detected: detected(&self.leads[0]),
            lead_time_cycles: median(&self.leads[0]),
            detected_static: detected(&self.leads[1]),
            lead_time_cycles_static: median(&self.leads[1]),
            points: Some(self.windows as f64),
            ..Figures::default()
        }
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_told_apart_by_phase() {
        // A life of 100 cycles in windows of 11: 30 healthy cycles, of which 20 end a window.
        let flagged: Vec<bool> = (0..90).map(|at| at == 3 || at == 60).collect();
        let judged = Judged {
            scores: (0..90).map(|at| at as f32).collect(),
            by_static: vec![false; 90],
            by_adaptive: flagged.clone(),
            flagged,
            ..Judged::default()
        };
        let mut seen = Seen::default();
        seen.add(100, 11, &judged);
        let figures = seen.figures();
        assert_eq!(figures.auroc, Some(1.0));
        assert_eq!(figures.fpr, Some(1.0 / 20.0));
        assert_eq!(figures.fpr_static, Some(0.0));
        // The flag within the healthy phase is a false one; window 60 ends with cycle index 70.
        assert_eq!((figures.detected, figures.lead_time_cycles), (Some(1.0), Some(29.0)));
        assert_eq!((figures.detected_static, figures.lead_time_cycles_static), (Some(0.0), None));
    }

    #[test]
    fn the_median_of_an_even_number_is_between() {
        assert_eq!(median(&[3.0, 1.0]), Some(2.0));
        assert_eq!(median(&[3.0, 1.0, 9.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }
}
