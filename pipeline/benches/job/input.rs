//! The job's input: machines that report 14 channels once a second.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Float32Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

/// Channels of every machine.
pub(crate) const CHANNELS: usize = 14;
const START_MS: i64 = 1_767_225_600_000;
const GROUP: usize = 131_072;

/// Writes `sensor.parquet`: waves under autoregressive noise, step by step, machine by machine;
/// one row in a hundred comes 1 to 5 steps late, directly after its machine's row of that step.
pub(crate) fn write(path: &Path, machines: usize, rows: usize) -> Result<()> {
    let schema = schema();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(GROUP))
        .build();
    let file = File::create(path)?;
    let mut writer = ArrowWriter::try_new(file, SchemaRef::clone(&schema), Some(properties))?;
    let mut fleet = Fleet::new(machines);
    let mut rows_out = Rows::default();
    for step in 0..rows / machines {
        fleet.step(step, &mut rows_out);
        if rows_out.times.len() >= GROUP {
            writer.write(&rows_out.take(&schema)?)?;
        }
    }
    fleet.drain(&mut rows_out);
    writer.write(&rows_out.take(&schema)?)?;
    writer.close()?;
    Ok(())
}

fn schema() -> SchemaRef {
    let mut fields = vec![
        Field::new("machine_id", DataType::Utf8, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ];
    fields
        .extend((0..CHANNELS).map(|c| Field::new(format!("ch_{c:02}"), DataType::Float32, false)));
    Arc::new(Schema::new(fields))
}

type Values = [f32; CHANNELS];

/// Every machine's noise, and its rows that are held back.
struct Fleet {
    noise: Vec<Values>,
    held: Vec<Vec<(usize, i64, Values)>>,
    random: u64,
}

impl Fleet {
    fn new(machines: usize) -> Self {
        let (noise, held) = (vec![[0.0; CHANNELS]; machines], vec![Vec::new(); machines]);
        Self { noise, held, random: 1 }
    }

    fn step(&mut self, step: usize, out: &mut Rows) {
        for machine in 0..self.noise.len() {
            let mut values = [0.0; CHANNELS];
            for (channel, value) in values.iter_mut().enumerate() {
                let noise = 0.8 * self.noise[machine][channel] + 0.4 * (self.unit() - 0.5);
                self.noise[machine][channel] = noise;
                let turn = step as f32 / (40.0 + 20.0 * channel as f32) + machine as f32 * 0.37;
                let level = (1 + channel) as f32 * 10.0;
                *value = ((level + turn.sin() + noise) * 100.0).round() / 100.0;
            }
            let ts = START_MS + step as i64 * 1_000 + (machine % 1_000) as i64;
            let delay = if self.unit() < 0.01 { 1 + (self.unit() * 5.0) as usize } else { 0 };
            if delay > 0 {
                self.held[machine].push((step + delay, ts, values));
            } else {
                out.push(machine, ts, &values);
            }
            while let Some(due) = self.held[machine].iter().position(|&(due, ..)| due <= step) {
                let (_, ts, values) = self.held[machine].remove(due);
                out.push(machine, ts, &values);
            }
        }
    }

    fn drain(&mut self, out: &mut Rows) {
        for (machine, held) in self.held.iter_mut().enumerate() {
            for (_, ts, values) in held.drain(..) {
                out.push(machine, ts, &values);
            }
        }
    }

    /// The next number in `[0, 1)`: the multiplier and shift of Knuth's MMIX generator.
    fn unit(&mut self) -> f32 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 40) as f32 / (1 << 24) as f32
    }
}

#[derive(Default)]
struct Rows {
    names: Vec<String>,
    times: Vec<i64>,
    values: [Vec<f32>; CHANNELS],
}

impl Rows {
    fn push(&mut self, machine: usize, ts: i64, values: &Values) {
        self.names.push(format!("machine-{machine:05}"));
        self.times.push(ts);
        for (column, &value) in self.values.iter_mut().zip(values) {
            column.push(value);
        }
    }

    fn take(&mut self, schema: &SchemaRef) -> Result<RecordBatch> {
        let Self { names, times, values } = std::mem::take(self);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(names)),
            Arc::new(TimestampMillisecondArray::from(times)),
        ];
        columns.extend(values.into_iter().map(|v| Arc::new(Float32Array::from(v)) as ArrayRef));
        Ok(RecordBatch::try_new(SchemaRef::clone(schema), columns)?)
    }
}
