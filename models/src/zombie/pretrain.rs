//! The forest that ships, learned from simulated fleets alone.
//!
//! No real series is learned from, so there is nothing that it could have seen of a fleet it judges. The
//! fleets are those of [`FleetConfig`], of seeds that `cloudops evaluate zombie` does not simulate. As
//! nobody knows what will be measured of the fleets to be judged, each resource is a row for each of several
//! ways of measuring it ([`UNMEASURED`]); its rows are drawn, and out of bag, together. Calibration and
//! limits follow from rows out of bag.

use cloudops_datasets::simulate::fleet::{FleetConfig, Simulated, simulate};
use cloudops_datasets::utilisation::Recorded;
use cloudops_operators::key::hex;
use cloudops_operators::utilisation::Channel;
use sha2::{Digest, Sha256};

use super::learner::Hunter;
use super::sample::ZombieSamples;
use super::{LearnedFrom, Limits, file};
use crate::learn::forest::ForestConfig;
use crate::{Error, Result};

/// The name in the file.
const NAME: &str = "zombie-forest";
/// What a positive row is: a resource that nobody will use again.
const TARGET: &str = "may-terminate";
/// The command that learns it.
const COMMAND: &str = "cloudops models pretrain zombie --to zombie-forest.onnx";
/// Limits are written with four decimals: what is read is what was written.
const DECIMALS: f64 = 1e4;

/// What is not measured of a resource, beside what its simulation leaves out: nothing; what only an agent
/// on it can tell; all but mean CPU and traffic.
pub const UNMEASURED: [&[Channel]; 4] = [
    &[],
    &[Channel::Connections],
    &[Channel::Connections, Channel::Memory],
    &[Channel::Connections, Channel::Memory, Channel::Disk, Channel::CpuPeak],
];

/// How the forest that ships is learned; the defaults are those it ships with.
#[derive(Debug, Clone, PartialEq)]
pub struct Pretraining {
    /// Fleets learned from. Default 8.
    pub fleets: u64,
    /// Seed of the first, the others following. Default 2⁶³, as evaluations count from 0.
    pub first: u64,
    /// Their size.
    pub fleet: FleetConfig,
    /// How trees are grown. Default 256 trees, so that a mean over them is exact, of up to 8 splits to a leaf.
    pub forest: ForestConfig,
}

impl Default for Pretraining {
    fn default() -> Self {
        let forest = ForestConfig { trees: 256, depth_max: 8, ..ForestConfig::default() };
        Self { fleets: 8, first: 1 << 63, fleet: FleetConfig::default(), forest }
    }
}

/// Learns the forest; equal settings give equal bytes, on however many threads.
///
/// # Errors
/// [`Error::Configuration`] when a setting is out of its range, [`Error::Data`] when the fleets hold resources of
/// one class only.
pub fn pretrain(config: &Pretraining) -> Result<Vec<u8>> {
    let (samples, resources) = samples(config)?;
    let hunter = Hunter::learn(&samples, NAME, TARGET, &config.forest)?;
    // Upwards: a limit may grow stricter by being written, and not laxer.
    let limit = |limit: f64| ((limit * DECIMALS).ceil() / DECIMALS).min(1.0);
    let limits = Limits {
        balanced: limit(hunter.threshold),
        action: hunter.action.iter().map(|(policy, at)| (*policy, limit(*at))).collect(),
    };
    let Pretraining { fleets, first, fleet, .. } = config;
    let learned = LearnedFrom {
        source: format!(
            "{fleets} simulated fleets of {} resources over {} days, of seeds from {first} on, each resource \
             as {} ways of measuring show it",
            fleet.resources,
            fleet.days,
            UNMEASURED.len()
        ),
        resources,
        rows: samples.len() as u64,
        positive: samples.labels.iter().filter(|label| **label).count() as u64,
        fingerprint: fingerprint(&samples)?,
        brier: (hunter.brier * 1e6).round() / 1e6,
        command: if *config == Pretraining::default() { COMMAND.to_owned() } else { String::new() },
    };
    file(&hunter.onnx, &limits, &learned)
}

/// The rows to learn from, and of how many resources they are.
fn samples(config: &Pretraining) -> Result<(ZombieSamples, u64)> {
    let mut samples = ZombieSamples::default();
    let mut resources = 0;
    for number in 0..config.fleets {
        let seed = config.first.wrapping_add(number);
        for Simulated { recorded, kind } in simulate(&config.fleet, seed) {
            for channels in UNMEASURED {
                let less = without(&recorded, channels);
                let rows = less.rows().map_err(|error| Error::Data(error.to_string()))?;
                samples.push(&rows, kind.may_terminate(), resources);
            }
            resources += 1;
        }
    }
    Ok((samples, u64::from(resources)))
}

/// What would be known of a resource if these channels were not measured.
fn without(recorded: &Recorded, channels: &[Channel]) -> Recorded {
    let mut less = recorded.clone();
    channels.iter().for_each(|channel| less.channels[*channel as usize].clear());
    less
}

fn fingerprint(samples: &ZombieSamples) -> Result<String> {
    let mut hash = Sha256::new();
    for value in samples.table()?.values() {
        // All that is not known is the same.
        let value = if value.is_nan() { f32::NAN } else { *value };
        hash.update(value.to_le_bytes());
    }
    samples.labels.iter().for_each(|label| hash.update([u8::from(*label)]));
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_resource_is_seen_as_every_way_of_measuring_shows_it() {
        let fleet = FleetConfig { resources: 20, days: 40 };
        let config = Pretraining { fleets: 2, fleet, ..Pretraining::default() };
        let (samples, resources) = samples(&config).unwrap();
        assert_eq!((resources, samples.len()), (40, 40 * UNMEASURED.len()));
        for (row, group) in samples.groups.iter().enumerate() {
            assert_eq!(*group as usize, row / UNMEASURED.len());
            assert_eq!(samples.labels[row], samples.labels[row - row % UNMEASURED.len()]);
        }
        let table = samples.table().unwrap();
        let place = |name: &str| table.features.iter().position(|known| known == name).unwrap();
        let last = table.row(UNMEASURED.len() - 1);
        for name in ["connections_mean", "memory_mean", "disk_mb_day"] {
            assert!(last[place(name)].is_nan(), "{name}");
        }
        assert!(!last[place("cpu_mean")].is_nan() && !last[place("net_mb_day")].is_nan());
    }
}
