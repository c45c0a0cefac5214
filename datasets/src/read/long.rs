//! Long sensor rows, one a channel, pivoted to one an entity and instant.
//!
//! Rows of one entity and instant need not be neighbours: a pivoted row waits until it has all its
//! channels, or until `look_ahead` rows have been read since its first. Rows leave in the order in
//! which they were begun, so that time never runs backwards because of the wait.
//!
//! A *record*, with its offset, is a pivoted row, or an input row that cannot be used. Of a message
//! they all have the message's offset, and nothing waits or is carried from one message to the next:
//! what a message means must not depend on where reading began.

use std::collections::{HashMap, VecDeque};

use arrow::array::RecordBatch;
use serde_json::json;

use super::decode::reject;
use super::format::LongMapping;
use super::record::{Fault, Raw, Records, Want};
use super::time::shown;
use super::wide::{SensorRows, channel_value};
use super::{BATCH_BYTES, BATCH_RECORDS, ReadBatch, Reader, Reject};
use crate::Result;

/// The columns a long file must have, in the order of their cells.
pub(crate) fn wants(mapping: &LongMapping) -> Vec<Want> {
    [&mapping.entity, &mapping.time, &mapping.channel, &mapping.value]
        .into_iter()
        .map(Want::required)
        .collect()
}

/// Opens long records.
pub(crate) fn open(
    records: Box<dyn Records>,
    mapping: &LongMapping,
    first_offset: u64,
    skip: u64,
) -> Box<dyn Reader> {
    let long = Long::new(mapping, first_offset, skip);
    Box::new(LongReader { records, long, ended: false })
}

/// Reads a file.
struct LongReader {
    records: Box<dyn Records>,
    long: Long,
    ended: bool,
}

/// A pivoted row that waits for channels.
struct Pivot {
    entity: String,
    time: i64,
    line: Option<u64>,
    /// Input rows read before its first.
    since: u64,
    values: Vec<Option<f32>>,
    missing: usize,
}

/// Input rows on their way to pivoted ones.
pub(crate) struct Long {
    mapping: LongMapping,
    /// The file's name of a channel to its place.
    channels: HashMap<String, usize>,
    waiting: VecDeque<Pivot>,
    /// Input rows read.
    input: u64,
    /// Each entity's last values, when they are carried forward.
    last: HashMap<String, Vec<Option<f32>>>,
    out: Out,
}

/// Records on their way to a batch; those to be skipped are counted and dropped.
struct Out {
    rows: SensorRows,
    rejects: Vec<Reject>,
    bytes: usize,
    first_offset: u64,
    /// The message's offset, where records come in messages.
    message: Option<u64>,
    /// Ordinal of the next record.
    next: u64,
    skip: u64,
    /// Records in the batch.
    taken: u64,
}

impl Out {
    /// The next record's offset; none when it is to be skipped.
    fn offset(&mut self) -> Option<u64> {
        let offset = self.message.unwrap_or(self.first_offset + self.next);
        let wanted = self.next >= self.skip;
        self.next += 1;
        self.taken += u64::from(wanted);
        wanted.then_some(offset)
    }

    fn row(&mut self, entity: &str, time: i64, values: &[f32]) {
        if let Some(offset) = self.offset() {
            self.rows.push(entity, time, offset, values);
        }
    }

    fn reject(&mut self, fault: Fault, raw: Raw) {
        if let Some(offset) = self.offset() {
            self.bytes += raw.bytes.len();
            self.rejects.push(reject(offset, fault, raw));
        }
    }
}

impl Reader for LongReader {
    fn next_batch(&mut self) -> Result<Option<ReadBatch>> {
        let Self { records, long, ended } = self;
        while long.out.taken < BATCH_RECORDS as u64 && long.out.bytes < BATCH_BYTES {
            if *ended {
                match long.waiting.pop_front() {
                    Some(pivot) => long.emit(pivot),
                    None => break,
                }
            } else if records.advance()? {
                long.take(&mut **records);
            } else {
                *ended = true;
            }
        }
        let count = long.out.taken;
        if count == 0 {
            return Ok(None);
        }
        let first_offset = long.out.first_offset + long.out.next - count;
        let (rows, rejects) = long.finish()?;
        Ok(Some(ReadBatch { first_offset, records: count, rows, rejects }))
    }
}

impl Long {
    pub(crate) fn new(mapping: &LongMapping, first_offset: u64, skip: u64) -> Self {
        let channels = mapping.channels.list().iter().enumerate();
        Self {
            channels: channels.map(|(at, channel)| (channel.column().to_owned(), at)).collect(),
            waiting: VecDeque::new(),
            input: 0,
            last: HashMap::new(),
            out: Out {
                rows: SensorRows::new(mapping.channels.names()),
                rejects: Vec::new(),
                bytes: 0,
                first_offset,
                message: None,
                next: 0,
                skip,
                taken: 0,
            },
            mapping: mapping.clone(),
        }
    }

    /// Takes a whole message in; false when it has no record.
    pub(crate) fn message(&mut self, offset: u64, records: &mut dyn Records) -> Result<bool> {
        self.out.message = Some(offset);
        let mut any = false;
        while records.advance()? {
            any = true;
            self.take(records);
        }
        while let Some(pivot) = self.waiting.pop_front() {
            self.emit(pivot);
        }
        self.last.clear();
        Ok(any)
    }

    /// Rows and rejects since the last call.
    pub(crate) fn finish(&mut self) -> Result<(RecordBatch, Vec<Reject>)> {
        (self.out.taken, self.out.bytes) = (0, 0);
        Ok((self.out.rows.finish()?, std::mem::take(&mut self.out.rejects)))
    }

    /// Rows and rejects that have been gathered.
    pub(crate) fn len(&self) -> usize {
        self.out.taken as usize
    }

    /// Takes the current input row in, then lets go what has waited long enough.
    fn take(&mut self, records: &mut dyn Records) {
        self.input += 1;
        if let Err(fault) = self.place(records) {
            self.out.reject(fault, records.raw());
        }
        let patience = self.mapping.look_ahead.max(1) as u64;
        while let Some(first) = self.waiting.front()
            && (first.missing == 0 || self.input - first.since >= patience)
        {
            if let Some(pivot) = self.waiting.pop_front() {
                self.emit(pivot);
            }
        }
    }

    /// Puts the current input row's value into its pivot.
    fn place(&mut self, records: &mut dyn Records) -> Result<(), Fault> {
        let line = records.line();
        let names = &self.mapping;
        let cells = records.cells()?;
        let need = |index: usize, name: &str| {
            cells.get(index).ok_or_else(|| Fault::field(name, "missing"))
        };
        let entity = need(0, &names.entity)?;
        let time = need(1, &names.time)?;
        let channel = need(2, &names.channel)?;
        let value = need(3, &names.value)?;
        let time =
            names.time_format.parse(time).map_err(|reason| Fault::field(&names.time, reason))?;
        let channel_at = *self.channels.get(channel).ok_or_else(|| {
            Fault::field(&names.channel, format!("unknown channel {}", shown(channel)))
        })?;
        let value = channel_value(value).map_err(|reason| Fault::field(&names.value, reason))?;
        // Neighbours are the rule: look from the youngest.
        let known = self
            .waiting
            .iter_mut()
            .rev()
            .find(|pivot| pivot.time == time && pivot.entity == entity);
        let pivot = match known {
            Some(pivot) => pivot,
            None => {
                self.waiting.push_back(Pivot {
                    entity: entity.to_owned(),
                    time,
                    line,
                    since: self.input - 1,
                    values: vec![None; self.channels.len()],
                    missing: self.channels.len(),
                });
                self.waiting.back_mut().expect("it was just put there")
            }
        };
        if pivot.values[channel_at].is_some() {
            let reason = format!("channel {} again, for the same instant", shown(channel));
            return Err(Fault::field(&names.channel, reason));
        }
        pivot.values[channel_at] = Some(value);
        pivot.missing -= 1;
        Ok(())
    }

    /// Hands a pivot on as a row, or as a reject.
    fn emit(&mut self, mut pivot: Pivot) {
        if self.mapping.carry_forward {
            let last = self
                .last
                .entry(pivot.entity.clone())
                .or_insert_with(|| vec![None; pivot.values.len()]);
            for (value, last) in pivot.values.iter_mut().zip(last) {
                *value = value.or(*last);
                *last = *value;
            }
        }
        let values: Option<Vec<f32>> = pivot.values.iter().copied().collect();
        match values {
            Some(values) => self.out.row(&pivot.entity, pivot.time, &values),
            None => {
                let names = self.mapping.channels.names();
                let gap = pivot.values.iter().position(Option::is_none).unwrap_or_default();
                let fault = Fault::field(
                    &names[gap],
                    format!("missing {} rows after the first", self.mapping.look_ahead),
                );
                let values: serde_json::Map<String, serde_json::Value> =
                    names.iter().cloned().zip(pivot.values.iter().map(|v| json!(v))).collect();
                let row = json!({
                    "entity": pivot.entity, "ts_us": pivot.time, "values": values,
                });
                let text = row.to_string();
                let raw = Raw::new(pivot.line, text.as_bytes(), text.len() as u64);
                self.out.reject(fault, raw);
            }
        }
    }
}
