//! What a file, or a directory of files, holds.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Float32Type};
use chrono::DateTime;
use cloudops_operators::schema::{self, ENTITY_ID, TS, cost, sensor};
use serde::Serialize;

use crate::read::{Format, StreamKind, open};
use crate::{Error, Result};

/// The shape of a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    /// Files read.
    pub files: usize,
    /// Good rows.
    pub rows: u64,
    /// Rejected records.
    pub rejects: u64,
    /// Why, the first ten different reasons.
    pub reject_reasons: Vec<String>,
    /// Different entities.
    pub entities: u64,
    /// First event time, RFC 3339; absent without rows.
    pub from: Option<String>,
    /// Last event time.
    pub to: Option<String>,
    /// A sensor set's channels.
    pub channels: Vec<ChannelSummary>,
    /// A bill's sums of `BilledCost`, exact decimals by currency.
    pub billed: BTreeMap<String, String>,
}

/// One channel's values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChannelSummary {
    /// The stream's name for it.
    pub name: String,
    /// Least value.
    pub min: f32,
    /// Mean value.
    pub mean: f64,
    /// Greatest value.
    pub max: f32,
}

/// Reads all of a file, or all files below a directory that the format matches, in name order.
///
/// # Errors
/// As [`open`]; [`Error::Configuration`] when no file matches.
pub fn describe(path: &Path, format: &Format) -> Result<Description> {
    let mut summary = Summary::new(format);
    let files = if path.is_dir() { matching(path, format)? } else { vec![path.to_owned()] };
    if files.is_empty() {
        return Err(Error::Configuration(format!("{}: no file of this format", path.display())));
    }
    for file in &files {
        let name = file.display().to_string();
        let blob = File::open(file).map_err(|source| Error::Read { file: name.clone(), source })?;
        let mut reader = open(blob, &name, format, 0, 0)?;
        while let Some(batch) = reader.next_batch()? {
            summary.rejects += batch.rejects.len() as u64;
            for reject in &batch.rejects {
                let reason = match &reject.field {
                    Some(field) => format!("{field}: {}", reject.reason),
                    None => reject.reason.clone(),
                };
                if summary.reasons.len() < 10 && !summary.reasons.contains(&reason) {
                    summary.reasons.push(reason);
                }
            }
            summary.add(&batch.rows)?;
        }
    }
    Ok(summary.finish(files.len()))
}

/// The files below a directory that the format matches, in name order.
///
/// # Errors
/// [`Error::Read`] when a directory cannot be listed.
pub fn matching(dir: &Path, format: &Format) -> Result<Vec<PathBuf>> {
    let mut files = below(dir)?;
    files.retain(|path| format.matches(&path.display().to_string()));
    Ok(files)
}

/// All files below a directory, in name order.
pub(crate) fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let read = |source| Error::Read { file: folder.display().to_string(), source };
        for entry in std::fs::read_dir(&folder).map_err(read)? {
            let path = entry.map_err(read)?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

struct Summary {
    kind: StreamKind,
    rows: u64,
    rejects: u64,
    reasons: Vec<String>,
    entities: HashSet<String>,
    times: Option<(i64, i64)>,
    channels: Vec<(String, f32, f64, f32)>,
    billed: BTreeMap<String, i128>,
}

impl Summary {
    fn new(format: &Format) -> Self {
        let names = format.channels().unwrap_or_default().iter();
        Self {
            kind: format.kind(),
            rows: 0,
            rejects: 0,
            reasons: Vec::new(),
            entities: HashSet::new(),
            times: None,
            channels: names
                .map(|name| (name.clone(), f32::INFINITY, 0.0, f32::NEG_INFINITY))
                .collect(),
            billed: BTreeMap::new(),
        }
    }

    fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let bug = |error: cloudops_operators::Error| Error::Configuration(error.to_string());
        self.rows += rows.num_rows() as u64;
        for entity in schema::labels(rows, ENTITY_ID).map_err(bug)?.iter().flatten() {
            if !self.entities.contains(entity) {
                self.entities.insert(entity.to_owned());
            }
        }
        for time in schema::times(rows, TS).map_err(bug)? {
            let (from, to) = self.times.unwrap_or((*time, *time));
            self.times = Some((from.min(*time), to.max(*time)));
        }
        let columns = rows.columns().iter().skip(sensor::FIRST_CHANNEL);
        for ((_, min, sum, max), column) in self.channels.iter_mut().zip(columns) {
            for value in column.as_primitive::<Float32Type>().values() {
                *min = min.min(*value);
                *max = max.max(*value);
                *sum += f64::from(*value);
            }
        }
        if self.kind == StreamKind::Cost {
            let currencies = schema::labels(rows, cost::CURRENCY).map_err(bug)?;
            let billed = schema::column(rows, cost::BILLED_COST).map_err(bug)?;
            let billed = billed.as_primitive::<Decimal128Type>().values();
            for (currency, amount) in currencies.iter().flatten().zip(billed) {
                *self.billed.entry(currency.to_owned()).or_default() += amount;
            }
        }
        Ok(())
    }

    fn finish(self, files: usize) -> Description {
        let rows = self.rows.max(1) as f64;
        let text = |time: i64| DateTime::from_timestamp_micros(time).map(|time| time.to_rfc3339());
        let channels = self.channels.into_iter().filter(|_| self.rows > 0);
        Description {
            files,
            rows: self.rows,
            rejects: self.rejects,
            reject_reasons: self.reasons,
            entities: self.entities.len() as u64,
            from: self.times.and_then(|(from, _)| text(from)),
            to: self.times.and_then(|(_, to)| text(to)),
            channels: channels
                .map(|(name, min, sum, max)| ChannelSummary { name, min, mean: sum / rows, max })
                .collect(),
            billed: self.billed.into_iter().map(|(k, v)| (k, money(v))).collect(),
        }
    }
}

/// Units of 10⁻¹² as a decimal number without needless zeros.
fn money(units: i128) -> String {
    let unit = 10_u128.pow(cost::MONEY_SCALE.unsigned_abs().into());
    let sign = if units < 0 { "-" } else { "" };
    let size = units.unsigned_abs();
    let text = format!("{sign}{}.{:012}", size / unit, size % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
