//! Labelled series from directories laid out as the public sets are.
//!
//! Values come through the same readers as the product's streams; a row that
//! they reject is missing from the series, and its label with it.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float32Type;
use cloudops_datasets::{Format, open};
use cloudops_operators::schema::sensor::FIRST_CHANNEL;
use cloudops_operators::schema::{ENTITY_ID, TS, offsets, texts, times};

use super::degradation::Fleet;
use super::labels::{nab_windows, skab_points, smd_causes, smd_points};
use super::sensor::{Case, SensorSet};
use super::series::{HOLDOUT_SHARE, Series, Stretch};
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

/// Everything of a set that a directory holds; nothing where there is no such directory.
pub(super) fn load(dir: &Path, set: SensorSet) -> Result<Vec<Case>> {
    if !dir.is_dir() {
        return Ok(vec![]);
    }
    let labelled = |series: Vec<Series>| series.into_iter().map(Case::Labelled).collect();
    match set {
        SensorSet::Smd => Ok(labelled(smd(dir)?)),
        SensorSet::Skab => Ok(labelled(skab(dir)?)),
        SensorSet::Nab => Ok(labelled(nab(dir)?)),
        SensorSet::Cmapss => Ok(cmapss(dir)?.into_iter().map(Case::Fleet).collect()),
    }
}

fn smd(dir: &Path) -> Result<Vec<Series>> {
    let format = Format::Smd { base: "2000-01-01T00:00:00Z".to_owned(), step_seconds: 60 };
    let mut machines = Vec::new();
    for train_path in files(&dir.join("train"))? {
        let name = train_path.file_name().unwrap_or_default();
        let train = single(rows(&train_path, &format)?, &train_path)?;
        let test_path = dir.join("test").join(name);
        let test = single(rows(&test_path, &format)?, &test_path)?;
        let label = PathBuf::from(format!("{}.txt", train.entity));
        let labels_path = dir.join("test_label").join(&label);
        let labels = test.labels_of(&smd_points(&labels_path)?, &labels_path)?;
        let causes_path = dir.join("interpretation_label").join(&label);
        let causes = if causes_path.is_file() {
            smd_causes(&causes_path, train.stretch.channels)?
        } else {
            vec![]
        };
        let healthy = train.stretch.rows();
        machines.push(Series {
            entity: train.entity,
            channels: format.channels().unwrap_or_default().to_vec(),
            context: held_out(&train.stretch, healthy),
            train: vec![train.stretch],
            test: test.stretch,
            labels,
            causes,
            times_us: test.times_us,
        });
    }
    Ok(machines)
}

fn skab(dir: &Path) -> Result<Vec<Series>> {
    let format = Format::Skab {};
    let mut experiments = Vec::new();
    for path in grouped_files(dir)? {
        // The recordings without labels have no event to find.
        if path.parent().is_some_and(|group| group.ends_with("anomaly-free")) {
            continue;
        }
        let all = single(rows(&path, &format)?, &path)?;
        let labels = all.labels_of(&skab_points(&path)?, &path)?;
        experiments.push(split(all, labels, &format, SKAB_HEALTHY_ROWS));
    }
    Ok(experiments)
}

fn nab(dir: &Path) -> Result<Vec<Series>> {
    let format = Format::Nab {};
    let windows_path = dir.join("labels").join("combined_windows.json");
    let windows = nab_windows(&windows_path)?;
    let mut series = Vec::new();
    for path in grouped_files(&dir.join("data"))? {
        let all = single(rows(&path, &format)?, &path)?;
        let Some(windows) = windows.get(&format!("{}.csv", all.entity)) else {
            return Err(Error::Data(format!(
                "{}: no entry for {}.csv",
                windows_path.display(),
                all.entity
            )));
        };
        let within = |time: &i64| windows.iter().any(|window| window.contains(time));
        let labels = all.times_us.iter().map(within).collect();
        let probation = (NAB_SHARE * all.stretch.rows().min(NAB_ROWS_MAX) as f64) as usize;
        series.push(split(all, labels, &format, probation));
    }
    Ok(series)
}

fn cmapss(dir: &Path) -> Result<Vec<Fleet>> {
    let format = Format::CMapss { base: "2000-01-01T00:00:00Z".to_owned(), step_seconds: 3600 };
    let mut fleets = Vec::new();
    for path in files(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(name) = name.strip_prefix("train_") else { continue };
        let engines = rows(&path, &format)?;
        fleets.push(Fleet {
            entity: name.split('.').next().unwrap_or(name).to_owned(),
            channels: format.channels().unwrap_or_default().to_vec(),
            engines: engines.into_iter().map(|engine| (engine.entity, engine.stretch)).collect(),
        });
    }
    Ok(fleets)
}

/// A recording whose first rows are healthy and whose rest is judged.
fn split(all: Rows, mut labels: Vec<bool>, format: &Format, healthy: usize) -> Series {
    let healthy = healthy.min(all.stretch.rows());
    let train = all.stretch.cut(0..healthy);
    Series {
        entity: all.entity,
        channels: format.channels().unwrap_or_default().to_vec(),
        context: held_out(&train, healthy),
        train: vec![train],
        test: all.stretch.cut(healthy..all.stretch.rows()),
        labels: labels.split_off(healthy),
        causes: vec![],
        times_us: all.times_us[healthy..].to_vec(),
    }
}

/// The part of the first `healthy` rows that models do not learn from: it warms thresholds up.
fn held_out(train: &Stretch, healthy: usize) -> Stretch {
    train.cut(((1.0 - HOLDOUT_SHARE) * healthy as f64) as usize..healthy)
}

/// Consecutive rows of one entity.
#[derive(Debug, Default)]
struct Rows {
    entity: String,
    stretch: Stretch,
    times_us: Vec<i64>,
    /// Each row's ordinal in its file.
    offsets: Vec<u64>,
}

impl Rows {
    /// The label of each row, of labels given for every row of the file.
    fn labels_of(&self, of_file: &[bool], path: &Path) -> Result<Vec<bool>> {
        let label = |&offset: &u64| of_file.get(offset as usize).copied();
        self.offsets.iter().map(label).collect::<Option<Vec<bool>>>().ok_or_else(|| {
            Error::Data(format!("{}: only {} labels", path.display(), of_file.len()))
        })
    }
}

fn rows(path: &Path, format: &Format) -> Result<Vec<Rows>> {
    let file = File::open(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let refuse = |error: cloudops_datasets::Error| Error::Data(error.to_string());
    let mut reader = open(file, &path.to_string_lossy(), format, 0, 0).map_err(refuse)?;
    let mut entities: Vec<Rows> = Vec::new();
    while let Some(batch) = reader.next_batch().map_err(refuse)? {
        append(&mut entities, &batch.rows)?;
    }
    Ok(entities)
}

fn append(entities: &mut Vec<Rows>, batch: &RecordBatch) -> Result<()> {
    let names = texts(batch, ENTITY_ID)?;
    let (at, ordinals) = (times(batch, TS)?, offsets(batch)?);
    let columns: Vec<&[f32]> = batch.columns()[FIRST_CHANNEL..]
        .iter()
        .map(|column| column.as_primitive::<Float32Type>().values().as_ref())
        .collect();
    for row in 0..batch.num_rows() {
        if entities.last().is_none_or(|rows| rows.entity != names.value(row)) {
            let stretch = Stretch { channels: columns.len(), values: vec![] };
            let entity = names.value(row).to_owned();
            entities.push(Rows { entity, stretch, ..Rows::default() });
        }
        let rows = entities.last_mut().expect("an entity was just put there");
        rows.stretch.values.extend(columns.iter().map(|column| column[row]));
        rows.times_us.push(at[row]);
        rows.offsets.push(ordinals.value(row));
    }
    Ok(())
}

/// The rows of a file that holds one entity.
fn single(mut entities: Vec<Rows>, path: &Path) -> Result<Rows> {
    match (entities.pop(), entities.is_empty()) {
        (Some(rows), true) => Ok(rows),
        (None, _) => Err(Error::Data(format!("{}: holds no row that can be read", path.display()))),
        _ => Err(Error::Data(format!("{}: holds more than one entity", path.display()))),
    }
}

/// The files of a directory, by name.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    entries(dir, Path::is_file)
}

/// The CSV files of a directory's directories, by name.
fn grouped_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for group in entries(dir, Path::is_dir)? {
        let is_csv = |path: &PathBuf| path.to_string_lossy().contains(".csv");
        found.extend(files(&group)?.into_iter().filter(is_csv));
    }
    Ok(found)
}

fn entries(dir: &Path, wanted: fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::File { path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if wanted(&path) && !hidden {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
