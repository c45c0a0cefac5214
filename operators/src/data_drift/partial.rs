//! A worker's side: observes scored windows and hands on closed periods.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{Float32Type, UInt32Type, UInt64Type};

use super::config::DriftConfig;
use super::period::{Group, PeriodPartial, Variable, Window, fixed_point};
use super::table::{self, Place};
use crate::key::{Shard, hash};
use crate::schema::numbers;
use crate::schema::result::{
    ANOMALY, CHANNEL_ERROR, FEATURES, LATENT, OFFSET_FROM, OFFSET_TO, PARTITION,
    RECONSTRUCTION_ERROR, ROWS, SCORE, WINDOW, WINDOW_END, WINDOW_START,
};
use crate::schema::{ENTITY_ID, column, mismatch, texts, times, vectors};
use crate::score::{ModelId, ModelInfo};
use crate::snapshot::{Extent, Snapshot};
use crate::watermark::Watermark;
use crate::{Error, Result};

/// Periods by number and version; a version is in force in one run of them.
type Open = BTreeMap<(i64, Arc<str>), PeriodPartial>;

/// The operator on each worker.
#[derive(Debug, Clone)]
pub struct DriftPartial {
    config: DriftConfig,
    features: Vec<String>,
    open: Open,
    /// The least shard seen: its snapshot holds the state of all, which may be merged into any
    /// worker's, since merging is exact.
    home: Option<Shard>,
}

impl DriftPartial {
    /// An operator that has seen nothing; `features` are the names of the `features` column.
    ///
    /// # Errors
    /// [`Error::Configuration`] as [`DriftConfig::validate`].
    pub fn new(config: DriftConfig, features: Vec<String>) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, features, open: Open::new(), home: None })
    }

    /// Takes up judged windows of one model (the batch of
    /// [`crate::threshold::Threshold::apply`]), in any order. Windows with a value that is no
    /// finite number count, but are not sampled.
    ///
    /// # Errors
    /// [`Error::Column`] when a column is missing or of another width than the model says.
    pub fn observe(&mut self, judged: &RecordBatch, info: &ModelInfo) -> Result<()> {
        let columns = Columns::of(judged)?;
        let variables: Arc<[Variable]> = self.variables(&columns, info)?.into();
        let model = Arc::new(info.id.clone());
        let version: Arc<str> = info.id.version.as_str().into();
        let (sample, healthy) = (self.config.sample, self.config.retrain_windows);
        for row in 0..judged.num_rows() {
            let end = columns.ends[row];
            let number = end.div_euclid(self.config.period_us());
            let name = columns.entities.value(row);
            let entity = hash(name.as_bytes());
            let shard = Shard::of_hash(entity);
            self.home = Some(self.home.map_or(shard, |home| home.min(shard)));
            let period = self.open.entry((number, Arc::clone(&version))).or_insert_with(|| {
                PeriodPartial::new(number, Arc::clone(&model), Arc::clone(&variables))
            });
            period.windows += 1;
            period.error_sum += fixed_point(columns.error(row));
            period.first_end = period.first_end.min(end);
            period.last_end = period.last_end.max(end);
            period.cover(
                columns.partition.value(row),
                columns.from.value(row),
                columns.to.value(row),
            );
            let place = place(entity, end);
            if period.sample.admits(place, sample) {
                let values = columns.values(row);
                if values.iter().all(|value| value.is_finite()) {
                    period.sample.insert((place, end, name.to_owned()), values, sample);
                }
            }
            if !columns.flagged.value(row) && period.healthy.admits(place, healthy) {
                let window = columns.window(row);
                period.healthy.insert((place, end, name.to_owned()), window, healthy);
            }
        }
        Ok(())
    }

    /// Hands over the periods that no further window can fall into: those whose end, plus the
    /// configured delay, the watermark has reached. Ascending.
    pub fn take_closed(&mut self, watermark: Watermark) -> Vec<PeriodPartial> {
        let closed = watermark.0.saturating_sub(self.config.delay_us());
        let first_open = closed.div_euclid(self.config.period_us());
        let open = self.open.split_off(&(first_open, "".into()));
        std::mem::replace(&mut self.open, open).into_values().collect()
    }

    fn variables(&self, columns: &Columns<'_>, info: &ModelInfo) -> Result<Vec<Variable>> {
        let of = |group, names: &[String]| -> Vec<Variable> {
            names.iter().map(|name| Variable { group, name: name.clone() }).collect()
        };
        let latents: Vec<String> = (0..columns.latent.1).map(|i| i.to_string()).collect();
        let expected = [
            (FEATURES, columns.features.1, &self.features, Group::Input),
            (CHANNEL_ERROR, columns.channel_error.1, &info.channels, Group::Error),
            (LATENT, columns.latent.1, &latents, Group::Latent),
        ];
        let mut variables = of(Group::Error, &[SCORE.to_owned()]);
        for (column, width, names, group) in expected {
            if width != 0 && width != names.len() {
                return Err(Error::Column {
                    column: column.to_owned(),
                    expected: format!("{} values a row, as they are named", names.len()),
                    found: width.to_string(),
                });
            }
            if width != 0 {
                variables.extend(of(group, names));
            }
        }
        Ok(variables)
    }
}

/// The pinned place of a window in its period's sample.
fn place(entity: u64, end: i64) -> u64 {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&entity.to_le_bytes());
    key[8..].copy_from_slice(&end.to_le_bytes());
    hash(&key)
}

/// The columns that are observed. An absent vector has width 0.
struct Columns<'a> {
    entities: &'a arrow::array::StringArray,
    starts: &'a [i64],
    ends: &'a [i64],
    partition: &'a PrimitiveArray<UInt32Type>,
    from: &'a PrimitiveArray<UInt64Type>,
    to: &'a PrimitiveArray<UInt64Type>,
    rows: &'a PrimitiveArray<UInt32Type>,
    score: &'a PrimitiveArray<Float32Type>,
    reconstruction: &'a PrimitiveArray<Float32Type>,
    flagged: &'a arrow::array::BooleanArray,
    features: (&'a [f32], usize),
    channel_error: (&'a [f32], usize),
    latent: (&'a [f32], usize),
    raw: (&'a [f32], usize),
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self> {
        let vector = |name: &str| match batch.column_by_name(name) {
            Some(_) => vectors(batch, name),
            None => Ok((&[][..], 0)),
        };
        let flagged = column(batch, ANOMALY)?;
        Ok(Self {
            entities: texts(batch, ENTITY_ID)?,
            starts: times(batch, WINDOW_START)?,
            ends: times(batch, WINDOW_END)?,
            partition: numbers(batch, PARTITION)?,
            from: numbers(batch, OFFSET_FROM)?,
            to: numbers(batch, OFFSET_TO)?,
            rows: numbers(batch, ROWS)?,
            score: numbers(batch, SCORE)?,
            reconstruction: numbers(batch, RECONSTRUCTION_ERROR)?,
            flagged: flagged
                .as_boolean_opt()
                .ok_or_else(|| mismatch(ANOMALY, "Boolean", flagged))?,
            features: vector(FEATURES)?,
            channel_error: vector(CHANNEL_ERROR)?,
            latent: vector(LATENT)?,
            raw: vector(WINDOW)?,
        })
    }

    fn error(&self, row: usize) -> f32 {
        if self.reconstruction.is_valid(row) {
            self.reconstruction.value(row)
        } else {
            self.score.value(row)
        }
    }

    /// The variables' values, in the order of [`DriftPartial::variables`].
    fn values(&self, row: usize) -> Vec<f32> {
        let of = |(values, width): (&'a [f32], usize)| &values[row * width..][..width];
        let mut values = vec![self.score.value(row)];
        values.extend_from_slice(of(self.features));
        values.extend_from_slice(of(self.channel_error));
        values.extend_from_slice(of(self.latent));
        values
    }

    fn window(&self, row: usize) -> Window {
        let of = |(values, width): (&[f32], usize)| values[row * width..][..width].to_vec();
        Window {
            start: self.starts[row],
            partition: self.partition.value(row),
            from: self.from.value(row),
            to: self.to.value(row),
            rows: self.rows.value(row),
            values: of(self.raw),
            features: of(self.features),
        }
    }
}

impl Snapshot for DriftPartial {
    fn operator(&self) -> &'static str {
        "drift_partial"
    }

    /// All of the state under the least shard seen; see the field.
    fn snapshot(&self, shard: Shard, _: Extent) -> Result<Option<RecordBatch>> {
        if self.home != Some(shard) {
            return Ok(None);
        }
        let periods: Vec<_> = self.open.values().cloned().collect();
        table::encode(periods.iter().map(|period| (Place::Open, period)), None)
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
        self.home = Some(self.home.map_or(shard, |home| home.min(shard)));
        for (_, period) in table::decode(state, self.operator())?.periods {
            let ModelId { version, .. } = &*period.model;
            let key = (period.period, version.as_str().into());
            match self.open.get_mut(&key) {
                Some(known) => {
                    known.merge(period, self.config.sample, self.config.retrain_windows);
                }
                None => drop(self.open.insert(key, period)),
            }
        }
        Ok(())
    }
}
