//! Ground truth of the public sets, with the values it belongs to.
//!
//! Every loader takes a directory laid out as published and loads what it finds there: no machine,
//! experiment or series is known by name. Values come through the readers of [`crate::read`], and
//! a record that they reject is an error here, since labels would no longer stand beside their rows.

pub mod audit;

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float32Type;
use cloudops_operators::schema::{self, ENTITY_ID, TS, sensor};

use crate::describe::matching;
use crate::read::{Channel, Channels, Format, TimeFormat, WideMapping, open};
use crate::{Error, Result};

/// Values row after row: row `r`, column `c` is `data[r * cols + c]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    /// Rows, in time order.
    pub rows: usize,
    /// Columns: the format's channels.
    pub cols: usize,
    /// All values.
    pub data: Vec<f32>,
}

impl Matrix {
    /// One row's values.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.cols..][..self.cols]
    }

    /// Some of the rows.
    ///
    /// # Panics
    /// When they are not all there.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        let data = self.data[rows.start * self.cols..rows.end * self.cols].to_vec();
        Self { rows: rows.len(), cols: self.cols, data }
    }
}

/// A file's rows.
struct Table {
    values: Matrix,
    times: Vec<i64>,
    entities: Vec<String>,
}

impl Table {
    fn read(path: &Path, format: &Format) -> Result<Self> {
        let name = path.display().to_string();
        let blob = File::open(path).map_err(|source| read_error(path, source))?;
        let mut reader = open(blob, &name, format, 0, 0)?;
        let cols = format.channels().unwrap_or_default().len();
        let values = Matrix { rows: 0, cols, data: Vec::new() };
        let mut table = Self { values, times: Vec::new(), entities: Vec::new() };
        while let Some(batch) = reader.next_batch()? {
            if let Some(reject) = batch.rejects.first() {
                return Err(corrupt(path, format!("record {}: {}", reject.offset, reject.reason)));
            }
            table.add(&batch.rows, path)?;
        }
        Ok(table)
    }

    fn add(&mut self, rows: &RecordBatch, path: &Path) -> Result<()> {
        let bug = |error: cloudops_operators::Error| corrupt(path, error.to_string());
        self.times.extend_from_slice(schema::times(rows, TS).map_err(bug)?);
        let entities = schema::texts(rows, ENTITY_ID).map_err(bug)?;
        self.entities.extend(entities.iter().flatten().map(str::to_owned));
        let columns: Vec<&[f32]> = rows.columns()[sensor::FIRST_CHANNEL..]
            .iter()
            .map(|column| &column.as_primitive::<Float32Type>().values()[..])
            .collect();
        for row in 0..rows.num_rows() {
            self.values.data.extend(columns.iter().map(|column| column[row]));
        }
        self.values.rows += rows.num_rows();
        Ok(())
    }
}

fn read_error(path: &Path, source: std::io::Error) -> Error {
    Error::Read { file: path.display().to_string(), source }
}

fn corrupt(path: &Path, reason: impl Into<String>) -> Error {
    Error::Corrupt { file: path.display().to_string(), reason: reason.into() }
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| read_error(path, source))
}

fn preset(json: &str) -> Format {
    serde_json::from_str(json).expect("the preset is a format")
}

/// A machine of the Server Machine Dataset, or an application of the Application Server Dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// The file's stem.
    pub name: String,
    /// Unlabelled rows, taken for healthy.
    pub train: Matrix,
    /// Labelled rows.
    pub test: Matrix,
    /// Whether each test row is anomalous.
    pub labels: Vec<bool>,
    /// Test rows, and the columns that caused their anomaly, from 0.
    pub root_causes: Vec<(Range<usize>, Vec<usize>)>,
}

/// The Server Machine Dataset: `train/`, `test/`, `test_label/` and `interpretation_label/`.
pub mod smd {
    use super::{Machine, Path, Result, machines, preset};

    /// Loads every machine, in name order.
    ///
    /// # Errors
    /// [`crate::Error::Read`] and [`crate::Error::Corrupt`], naming the file.
    pub fn load(dir: &Path) -> Result<Vec<Machine>> {
        // In this set a segment's last row is the one before its written end.
        machines(dir, &preset(r#"{"format": "smd"}"#), 0)
    }
}

/// The Application Server Dataset, laid out like the Server Machine Dataset.
pub mod asd {
    use super::{Machine, Path, Result, machines, preset};

    /// Loads every application, in name order.
    ///
    /// # Errors
    /// [`crate::Error::Read`] and [`crate::Error::Corrupt`], naming the file.
    pub fn load(dir: &Path) -> Result<Vec<Machine>> {
        machines(dir, &preset(r#"{"format": "asd"}"#), 1)
    }
}

/// `end_rows` is added to a segment's written end to make it exclusive.
fn machines(dir: &Path, format: &Format, end_rows: usize) -> Result<Vec<Machine>> {
    let mut machines = Vec::new();
    for path in matching(&dir.join("train"), format)? {
        let file = path.file_name().unwrap_or_default();
        let name = crate::read::stem(&path.display().to_string());
        let test = Table::read(&dir.join("test").join(file), format)?.values;
        let label_file = format!("{name}.txt");
        let label_path = dir.join("test_label").join(&label_file);
        let labels = flags(&label_path)?;
        if labels.len() != test.rows {
            let reason = format!("{} labels for {} rows", labels.len(), test.rows);
            return Err(corrupt(&label_path, reason));
        }
        let causes = dir.join("interpretation_label").join(&label_file);
        let root_causes = segments(&causes, test.rows, test.cols, end_rows)?;
        let train = Table::read(&path, format)?.values;
        machines.push(Machine { name, train, test, labels, root_causes });
    }
    Ok(machines)
}

fn flags(path: &Path) -> Result<Vec<bool>> {
    let flag = |word: &str| match word.parse::<f32>() {
        Ok(value) => Ok(value != 0.0),
        Err(_) => Err(corrupt(path, format!("label {word:?} is no number"))),
    };
    text(path)?.split_whitespace().map(flag).collect()
}

/// Lines `start-end:dimension,…`, rows from 0, dimensions from 1.
fn segments(
    path: &Path,
    rows: usize,
    cols: usize,
    end_rows: usize,
) -> Result<Vec<(Range<usize>, Vec<usize>)>> {
    let segment = |line: &str| {
        let (range, dimensions) = line.split_once(':')?;
        let (start, end) = range.split_once('-')?;
        let start: usize = start.trim().parse().ok()?;
        let end = end.trim().parse::<usize>().ok()? + end_rows;
        let dimension = |text: &str| {
            let dimension: usize = text.trim().parse().ok()?;
            (1..=cols).contains(&dimension).then(|| dimension - 1)
        };
        let dimensions: Option<Vec<usize>> = dimensions.split(',').map(dimension).collect();
        (start < end && end <= rows).then_some((start..end, dimensions?))
    };
    text(path)?
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| segment(line).ok_or_else(|| corrupt(path, format!("segment {line:?}"))))
        .collect()
}

/// The Skoltech Anomaly Benchmark: a folder a kind of experiment, and `anomaly-free/`.
pub mod skab {
    use super::*;

    /// One experiment.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Experiment {
        /// `<folder>/<file stem>`.
        pub name: String,
        /// Rows of eight sensors.
        pub values: Matrix,
        /// Each row's time, µs.
        pub times: Vec<i64>,
        /// Whether each row is anomalous; all false in `anomaly-free/`.
        pub anomaly: Vec<bool>,
        /// Whether the process changes at each row.
        pub changepoint: Vec<bool>,
    }

    /// The set, split as published.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Skab {
        /// What `anomaly-free/` holds.
        pub anomaly_free: Vec<Experiment>,
        /// The labelled experiments.
        pub experiments: Vec<Experiment>,
    }

    /// Loads every experiment, in name order.
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::Corrupt`], naming the file.
    pub fn load(dir: &Path) -> Result<Skab> {
        let plain = Format::Skab {};
        let labelled = labelled()?;
        let mut skab = Skab { anomaly_free: Vec::new(), experiments: Vec::new() };
        for path in matching(dir, &plain)? {
            let name = crate::read::folder_stem(&path.display().to_string());
            if path.parent().is_some_and(|folder| folder.ends_with("anomaly-free")) {
                let Table { values, times, .. } = Table::read(&path, &plain)?;
                let none = vec![false; values.rows];
                let (anomaly, changepoint) = (none.clone(), none);
                let healthy = Experiment { name, values, times, anomaly, changepoint };
                skab.anomaly_free.push(healthy);
            } else {
                skab.experiments.push(experiment(name, Table::read(&path, &labelled)?));
            }
        }
        Ok(skab)
    }

    /// The label columns as two more channels behind the sensors.
    fn labelled() -> Result<Format> {
        let columns = crate::read::SKAB_COLUMNS.iter().copied();
        let labels = [("anomaly", "anomaly"), ("changepoint", "changepoint")];
        let channel = |(name, column): (&str, &str)| Channel {
            name: name.to_owned(),
            column: Some(column.to_owned()),
            unit: None,
        };
        let channels = Channels::new(columns.chain(labels).map(channel).collect())
            .map_err(Error::Configuration)?;
        let time_format = TimeFormat::Auto;
        let time = "datetime".to_owned();
        Ok(Format::SensorWide {
            mapping: WideMapping {
                entity: None,
                time,
                time_format,
                channels,
                encoding: None,
                delimiter: ';',
            },
        })
    }

    fn experiment(name: String, table: Table) -> Experiment {
        let Table { values: all, times, .. } = table;
        let cols = all.cols - 2;
        let label = |column: usize| (0..all.rows).map(|row| all.row(row)[column] != 0.0).collect();
        let data = (0..all.rows).flat_map(|row| all.row(row)[..cols].to_vec()).collect();
        Experiment {
            name,
            times,
            anomaly: label(cols),
            changepoint: label(cols + 1),
            values: Matrix { rows: all.rows, cols, data },
        }
    }
}

/// The Numenta Anomaly Benchmark: `data/<folder>/<series>.csv`, `labels/combined_windows.json`.
pub mod nab {
    use super::*;

    /// One series.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Series {
        /// `<folder>/<file stem>`.
        pub name: String,
        /// One column.
        pub values: Matrix,
        /// Each row's time, µs.
        pub times: Vec<i64>,
        /// Whether each row lies in an anomaly window.
        pub labels: Vec<bool>,
        /// First and last time of each window, µs, both inclusive.
        pub windows: Vec<(i64, i64)>,
    }

    /// Loads every series, in name order; one that the label file does not name has no windows.
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::Corrupt`], naming the file.
    pub fn load(dir: &Path) -> Result<Vec<Series>> {
        let path = dir.join("labels/combined_windows.json");
        let by_series: BTreeMap<String, Vec<[String; 2]>> = serde_json::from_str(&text(&path)?)
            .map_err(|error| corrupt(&path, format!("not a list of windows: {error}")))?;
        let time =
            |text: &String| TimeFormat::Auto.parse(text).map_err(|reason| corrupt(&path, reason));
        let format = Format::Nab {};
        let mut all = Vec::new();
        for file in matching(&dir.join("data"), &format)? {
            let Table { values, times, .. } = Table::read(&file, &format)?;
            let name = crate::read::folder_stem(&file.display().to_string());
            let written = by_series.get(&format!("{name}.csv"));
            let windows = written
                .into_iter()
                .flatten()
                .map(|[from, to]| Ok((time(from)?, time(to)?)))
                .collect::<Result<Vec<_>>>()?;
            let inside = |at: &i64| windows.iter().any(|(from, to)| (from..=to).contains(&at));
            let labels = times.iter().map(inside).collect();
            all.push(Series { name, values, times, labels, windows });
        }
        Ok(all)
    }
}

/// NASA C-MAPSS: `train_*.txt`, `test_*.txt` and `RUL_*.txt`.
pub mod cmapss {
    use super::*;

    /// One engine.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Engine {
        /// As the reader names it: `train_FD001-17`.
        pub name: String,
        /// Whether it was run to failure.
        pub is_train: bool,
        /// A row a cycle: 3 settings, 21 sensors.
        pub values: Matrix,
        /// Cycles left after the last row; 0 where it was run to failure.
        pub remaining_cycles: u32,
    }

    /// Loads every engine: the training files' first, each file's in order.
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::Corrupt`], naming the file.
    pub fn load(dir: &Path) -> Result<Vec<Engine>> {
        let format = preset(r#"{"format": "cmapss"}"#);
        let mut files = matching(dir, &format)?;
        files.sort_by_key(|path| (!is_train(path), path.clone()));
        let mut all = Vec::new();
        for path in files {
            let engines = engines(&path, &Table::read(&path, &format)?);
            if is_train(&path) {
                all.extend(engines);
                continue;
            }
            let set = crate::read::stem(&path.display().to_string()).replacen("test_", "RUL_", 1);
            let rul = path.with_file_name(format!("{set}.txt"));
            let cycles: Option<Vec<u32>> =
                text(&rul)?.split_whitespace().map(|word| word.parse().ok()).collect();
            let cycles = cycles
                .filter(|cycles| cycles.len() == engines.len())
                .ok_or_else(|| corrupt(&rul, "needs a whole number for each test engine"))?;
            let with_cycles = |(engine, remaining_cycles)| Engine { remaining_cycles, ..engine };
            all.extend(engines.into_iter().zip(cycles).map(with_cycles));
        }
        Ok(all)
    }

    fn is_train(path: &Path) -> bool {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("train_"))
    }

    fn engines(path: &Path, table: &Table) -> Vec<Engine> {
        let mut row = 0;
        let runs = table.entities.chunk_by(|a, b| a == b).map(|run| {
            let rows = row..row + run.len();
            row = rows.end;
            Engine {
                name: run[0].clone(),
                is_train: is_train(path),
                values: table.values.slice(rows),
                remaining_cycles: 0,
            }
        });
        runs.collect()
    }
}
