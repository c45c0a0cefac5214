//! The public sets as the evaluation judges them: what is learned from, what is judged.

use std::path::Path;

use cloudops_datasets::Format;
use cloudops_datasets::labels::{Machine, Matrix, cmapss, nab, skab, smd};

use super::degradation::Fleet;
use super::sensor::{Case, SensorSet};
use super::series::{Cause, HOLDOUT_SHARE, Series, Stretch};
use crate::{Error, Result};

/// The first rows of every SKAB experiment are healthy by the benchmark's own protocol.
///
/// `anomaly-free.csv` is not learned from: it was recorded at another operating point than most
/// experiments. Measured on these healthy rows alone, a PCA model learned from it puts all of them
/// above its 99.9th percentile in nine of ten valve experiments.
pub(super) const SKAB_HEALTHY_ROWS: usize = 400;

/// NAB's probationary part: this share of a series, of [`NAB_ROWS_MAX`] rows at most.
const NAB_SHARE: f64 = 0.15;
const NAB_ROWS_MAX: usize = 5_000;

/// SMD has no times; a row is a minute.
const SMD_STEP_US: i64 = 60_000_000;

/// Everything of a set that a directory holds, by name; nothing where there is no such directory.
pub(super) fn load(dir: &Path, set: SensorSet) -> Result<Vec<Case>> {
    if !dir.is_dir() {
        return Ok(vec![]);
    }
    let refuse = |error: cloudops_datasets::Error| Error::Data(error.to_string());
    Ok(match set {
        SensorSet::Smd => labelled(smd::load(dir).map_err(refuse)?.into_iter().map(machine)),
        SensorSet::Skab => {
            let experiments = skab::load(dir).map_err(refuse)?.experiments.into_iter();
            labelled(experiments.map(|experiment| {
                let skab::Experiment { name, values, times, anomaly, .. } = experiment;
                split(name, &Format::Skab {}, values, (times, anomaly), SKAB_HEALTHY_ROWS)
            }))
        }
        SensorSet::Nab => labelled(nab::load(dir).map_err(refuse)?.into_iter().map(|series| {
            let probation = (NAB_SHARE * series.values.rows.min(NAB_ROWS_MAX) as f64) as usize;
            let nab::Series { name, values, times, labels, .. } = series;
            split(name, &Format::Nab {}, values, (times, labels), probation)
        })),
        SensorSet::Cmapss => {
            fleets(cmapss::load(dir).map_err(refuse)?).into_iter().map(Case::Fleet).collect()
        }
    })
}

fn labelled(series: impl Iterator<Item = Series>) -> Vec<Case> {
    series.map(Case::Labelled).collect()
}

fn channels(format: &Format) -> Vec<String> {
    format.channels().unwrap_or_default().to_vec()
}

fn stretch(values: Matrix) -> Stretch {
    Stretch { channels: values.cols, values: values.data }
}

fn machine(machine: Machine) -> Series {
    let train = stretch(machine.train);
    let format = Format::Smd { base: String::new(), step_seconds: 60 };
    Series {
        entity: machine.name,
        channels: channels(&format),
        context: held_out(&train),
        times_us: (0..machine.test.rows as i64).map(|row| row * SMD_STEP_US).collect(),
        test: stretch(machine.test),
        train: vec![train],
        labels: machine.labels,
        causes: machine
            .root_causes
            .into_iter()
            .map(|(rows, channels)| Cause { rows, channels })
            .collect(),
    }
}

/// A recording whose first rows are healthy and whose rest is judged.
fn split(
    entity: String,
    format: &Format,
    values: Matrix,
    (mut times_us, mut labels): (Vec<i64>, Vec<bool>),
    healthy: usize,
) -> Series {
    let healthy = healthy.min(values.rows);
    let train = stretch(values.slice(0..healthy));
    Series {
        entity,
        channels: channels(format),
        context: held_out(&train),
        train: vec![train],
        test: stretch(values.slice(healthy..values.rows)),
        labels: labels.split_off(healthy),
        causes: vec![],
        times_us: times_us.split_off(healthy),
    }
}

/// The part that models do not learn from: it warms thresholds up.
fn held_out(train: &Stretch) -> Stretch {
    train.cut(((1.0 - HOLDOUT_SHARE) * train.rows() as f64) as usize..train.rows())
}

/// Engines run to failure, by the file they are in.
fn fleets(engines: Vec<cmapss::Engine>) -> Vec<Fleet> {
    let format = Format::CMapss { base: String::new(), step_seconds: 3600 };
    let mut fleets: Vec<Fleet> = Vec::new();
    for engine in engines.into_iter().filter(|engine| engine.is_train) {
        // The reader names an engine `train_FD001-17`.
        let name = engine.name.rsplit_once('-').map_or(&*engine.name, |(file, _)| file);
        let name = name.trim_start_matches("train_").to_owned();
        if fleets.last().is_none_or(|fleet| fleet.entity != name) {
            fleets.push(Fleet { entity: name, channels: channels(&format), engines: vec![] });
        }
        let fleet = fleets.last_mut().expect("a fleet was just put there");
        fleet.engines.push((engine.name, stretch(engine.values)));
    }
    fleets
}
