//! Engines that wear out, in the manner of C-MAPSS: Saxena, Goebel, Simon and Eklund, *Damage
//! propagation modeling for aircraft engine run-to-failure simulation*, PHM 2008.
//!
//! A channel is a level of its engine, a response to a slowly changing load, and noise. From the
//! onset of its fault on, an engine's damage grows exponentially to 1 at the last step; it moves
//! one sensor, the faulty one, by `fault_sigmas` of its own noise, and every other by a tenth.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::rng::Rng;
use super::{Output, at_least, rfc3339, start_seconds};
use crate::read::{Channels, Format, TimeFormat, WideMapping};
use crate::{Error, Result};

/// Sizes and shape of the simulated fleet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SensorConfig {
    /// Engines; default 20.
    pub engines: u32,
    /// Of them, engines that stay healthy; default 5. They are the last ones.
    pub healthy: u32,
    /// Rows an engine; default 600.
    pub steps: u32,
    /// Channels; default 14.
    pub channels: u16,
    /// Seconds between an engine's rows; default 60.
    pub step_seconds: u32,
    /// First row's time, RFC 3339.
    pub start: String,
    /// Earliest onset of a fault, as a share of the steps; default 0.6. The latest is 0.85.
    pub onset_share: f64,
    /// How far the faulty sensor has moved at the end, in standard deviations of its noise;
    /// default 12.
    pub fault_sigmas: f64,
    /// Rows a file; default 1,000,000.
    pub rows_per_file: u64,
}

impl Default for SensorConfig {
    fn default() -> Self {
        Self {
            engines: 20,
            healthy: 5,
            steps: 600,
            channels: 14,
            step_seconds: 60,
            start: "2025-01-01T00:00:00Z".to_owned(),
            onset_share: 0.6,
            fault_sigmas: 12.0,
            rows_per_file: 1_000_000,
        }
    }
}

impl SensorConfig {
    /// Rows that will be written.
    #[must_use]
    pub fn records(&self) -> u64 {
        u64::from(self.engines) * u64::from(self.steps)
    }

    /// The channels' names.
    #[must_use]
    pub fn channel_names(&self) -> Vec<String> {
        (1..=self.channels).map(|channel| format!("sensor_{channel:02}")).collect()
    }

    /// How to read the files.
    ///
    /// # Errors
    /// [`Error::Configuration`] without channels.
    pub fn format(&self) -> Result<Format> {
        let channels = Channels::named(self.channel_names()).map_err(Error::Configuration)?;
        Ok(Format::SensorWide {
            mapping: WideMapping {
                entity: Some("engine".to_owned()),
                time: "ts".to_owned(),
                time_format: TimeFormat::Auto,
                channels,
                encoding: None,
                delimiter: ',',
            },
        })
    }

    fn validate(&self) -> Result<()> {
        at_least("engines", self.engines.into(), 1)?;
        at_least("steps", self.steps.into(), 10)?;
        at_least("channels", self.channels.into(), 1)?;
        at_least("step_seconds", self.step_seconds.into(), 1)?;
        at_least("rows_per_file", self.rows_per_file, 1)?;
        if self.healthy > self.engines || !(0.0..0.85).contains(&self.onset_share) {
            return Err(Error::Configuration(
                "healthy must be at most engines, onset_share in 0 to 0.85".to_owned(),
            ));
        }
        Ok(())
    }
}

/// What one engine suffers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineTruth {
    /// Its `entity_id`.
    pub entity: String,
    /// The sensor that drifts; none in a healthy engine.
    pub faulty_channel: Option<String>,
    /// When the damage begins, RFC 3339.
    pub onset: Option<String>,
    /// The engine's last row, RFC 3339.
    pub end: String,
    /// `-1` or `1`: which way the faulty sensor moves.
    pub direction: i8,
}

/// One engine, as it runs.
struct Engine {
    truth: EngineTruth,
    rng: Rng,
    levels: Vec<f64>,
    faulty: Option<usize>,
    onset: u32,
    load: f64,
}

/// What a channel's values look like in every engine.
struct ChannelShape {
    level: f64,
    spread: f64,
    noise: f64,
    response: f64,
}

pub(super) fn write(
    config: &SensorConfig,
    seed: u64,
    out: &mut Output<'_>,
) -> Result<Vec<EngineTruth>> {
    config.validate()?;
    let start = start_seconds(&config.start)?;
    let names = config.channel_names();
    let shapes: Vec<ChannelShape> =
        (0..config.channels).map(|channel| shape(seed, channel)).collect();
    let mut engines: Vec<Engine> = (0..config.engines)
        .map(|number| engine(config, seed, number, start, &names, &shapes))
        .collect();

    let header = format!("engine,ts,{}\n", names.join(","));
    let mut file = None;
    let mut in_file = 0;
    let mut files = 0;
    // Step by step over all engines: rows are in time order, as telemetry arrives.
    for step in 0..config.steps {
        let ts = rfc3339(start + i64::from(step) * i64::from(config.step_seconds));
        for engine in &mut engines {
            if file.is_none() {
                let mut new = out.create(format!("sensor/engines-{files:04}.csv"))?;
                new.write_all(header.as_bytes()).map_err(|error| new.failed(error))?;
                file = Some(new);
                files += 1;
            }
            let Some(open) = file.as_mut() else { continue };
            let row = engine.row(config, step, &ts, &shapes);
            open.write_all(row.as_bytes()).map_err(|error| open.failed(error))?;
            in_file += 1;
            if in_file == config.rows_per_file {
                in_file = 0;
                file.take().map(crate::file::NewFile::finish).transpose()?;
            }
        }
        out.wrote(config.engines.into());
    }
    file.map(crate::file::NewFile::finish).transpose()?;
    Ok(engines.into_iter().map(|engine| engine.truth).collect())
}

fn shape(seed: u64, channel: u16) -> ChannelShape {
    let mut rng = Rng::of(seed, &[1, 0, channel.into()]);
    let level = rng.between(10.0, 1000.0);
    let noise = level * rng.between(0.002, 0.01);
    ChannelShape { level, spread: level * 0.005, noise, response: noise * rng.between(-3.0, 3.0) }
}

fn engine(
    config: &SensorConfig,
    seed: u64,
    number: u32,
    start: i64,
    names: &[String],
    shapes: &[ChannelShape],
) -> Engine {
    let mut rng = Rng::of(seed, &[1, 1, number.into()]);
    let levels = shapes.iter().map(|shape| shape.level + shape.spread * rng.normal()).collect();
    let at = |step: u32| rfc3339(start + i64::from(step) * i64::from(config.step_seconds));
    let faulty = rng.below(names.len());
    let direction = if rng.chance(0.5) { 1 } else { -1 };
    let share = rng.between(config.onset_share, 0.85);
    let onset = (f64::from(config.steps) * share) as u32;
    let load = rng.between(-1.0, 1.0);
    let breaks = number < config.engines - config.healthy;
    let truth = EngineTruth {
        entity: format!("engine-{:04}", number + 1),
        faulty_channel: breaks.then(|| names[faulty].clone()),
        onset: breaks.then(|| at(onset)),
        end: at(config.steps - 1),
        direction,
    };
    Engine { truth, rng, levels, faulty: breaks.then_some(faulty), onset, load }
}

impl Engine {
    fn row(
        &mut self,
        config: &SensorConfig,
        step: u32,
        ts: &str,
        shapes: &[ChannelShape],
    ) -> String {
        // A load that wanders and returns: first-order autoregression of unit variance.
        self.load = 0.98 * self.load + 0.199 * self.rng.normal();
        let damage = self.damage(config.steps, step);
        let direction = f64::from(self.truth.direction);
        let mut row = format!("{},{ts}", self.truth.entity);
        for (channel, (shape, level)) in shapes.iter().zip(&self.levels).enumerate() {
            let share = if self.faulty == Some(channel) { 1.0 } else { 0.1 };
            let shift = config.fault_sigmas * shape.noise * damage * direction * share;
            let value =
                level + shape.response * self.load + shape.noise * self.rng.normal() + shift;
            row.push_str(&format!(",{value:.4}"));
        }
        row.push('\n');
        row
    }

    /// 0 until the onset, then `(32^x − 1) / 31` of the share of life left that has passed.
    fn damage(&self, steps: u32, step: u32) -> f64 {
        if self.faulty.is_none() || step <= self.onset {
            return 0.0;
        }
        let x = f64::from(step - self.onset) / f64::from(steps - 1 - self.onset);
        // 32^x by squaring the fifth-order series of 2^(x/2), ten times: within 1e-6, and only
        // additions and multiplications.
        let y = x * 5.0 * std::f64::consts::LN_2 / 1024.0;
        let series = 1.0 + y * (1.0 + y / 2.0 * (1.0 + y / 3.0 * (1.0 + y / 4.0)));
        let power = (0..10).fold(series, |power, _| power * power);
        (power - 1.0) / 31.0
    }
}
