//! What was asked of services and machines, step by step: demand that a policy can be tried on.
//!
//! - [`fleet`]: machines' CPU added up, as if they were one service
//! - [`planetlab`]: virtual machines of PlanetLab
//! - [`alibaba`]: requests to a service of generative models

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use tar::Archive;

use crate::utilisation::Recorded;
use crate::{Error, Result};

pub mod alibaba;
pub mod planetlab;

/// What was asked of one service, step by step, without a hole.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// Its name within its set.
    pub name: String,
    /// When the first step begins, seconds since 1970-01-01; 0 where nobody knows.
    pub start: i64,
    /// Seconds of a step.
    pub step: i64,
    /// In whatever unit it was measured: only ratios mean anything.
    pub values: Vec<f64>,
}

impl Demand {
    /// Steps of a day, where a day is whole steps.
    #[must_use]
    pub fn steps_a_day(&self) -> Option<usize> {
        const DAY: i64 = 86_400;
        (self.step > 0 && DAY % self.step == 0).then_some((DAY / self.step) as usize)
    }
}

/// A series of machines at the hours that any of them has: the mean of those known, times their number.
/// Hours that none has repeat the one before.
///
/// # Panics
/// When machines have steps of different length.
#[must_use]
pub fn fleet(name: &str, machines: &[&Recorded]) -> Demand {
    let step = machines.first().map_or(1, |machine| machine.step);
    let start = machines.iter().map(|machine| machine.start).min().unwrap_or(0);
    let end = |machine: &Recorded| machine.start + machine.channels[0].len() as i64 * step;
    let length = machines.iter().map(|machine| end(machine) - start).max().unwrap_or(0) / step;
    let mut sums = vec![(0.0, 0_usize); length as usize];
    for machine in machines {
        assert_eq!(machine.step, step, "machines of one set are recorded alike");
        let first = ((machine.start - start) / step) as usize;
        for (sum, value) in sums[first..].iter_mut().zip(&machine.channels[0]) {
            if !value.is_nan() {
                *sum = (sum.0 + value, sum.1 + 1);
            }
        }
    }
    let mut last = 0.0;
    let mean = |(sum, count): (f64, usize)| {
        if count > 0 {
            last = sum / count as f64 * machines.len() as f64;
        }
        last
    };
    Demand { name: name.to_owned(), start, step, values: sums.into_iter().map(mean).collect() }
}

/// Names and texts of the files in a `.tar.gz`, in its order.
fn archived(path: &Path) -> Result<Vec<(String, String)>> {
    let failed = |source| Error::Read { file: path.display().to_string(), source };
    let mut archive = Archive::new(GzDecoder::new(File::open(path).map_err(failed)?));
    let mut files = Vec::new();
    for entry in archive.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        if entry.header().entry_type().is_file() {
            let name = entry.path().map_err(failed)?.display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).map_err(failed)?;
            files.push((name, text));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_scaled_to_all_of_it_and_repeats_where_nothing_is_known() {
        let recorded = |start: i64, cpu: &[f64]| {
            let mut channels: [Vec<f64>; crate::utilisation::CHANNELS] = Default::default();
            channels[0] = cpu.to_vec();
            Recorded { name: String::new(), start, step: 3_600, channels }
        };
        let one = recorded(0, &[1.0, f64::NAN, 3.0]);
        let two = recorded(7_200, &[5.0, f64::NAN, 7.0]);
        let fleet = fleet("two", &[&one, &two]);
        assert_eq!(fleet.values, [2.0, 2.0, 8.0, 8.0, 14.0]);
        assert_eq!(fleet.steps_a_day(), Some(24));
    }
}
