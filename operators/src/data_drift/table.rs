//! Periods as rows, for the wire and for snapshots: one row of sums a period, then one a sampled
//! window.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Decimal128Builder, Float32Builder, Float64Builder, Int64Builder,
    ListBuilder, RecordBatch, StringBuilder, UInt8Builder, UInt32Builder, UInt64Builder,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, Float32Type, Float64Type, Int64Type, Schema, UInt8Type,
    UInt32Type, UInt64Type,
};

use super::period::{Group, PeriodPartial, Variable, Window};
use crate::score::ModelId;
use crate::{Error, Result};

/// What a period is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Still collecting.
    Open,
    /// Compared with.
    Reference,
    /// Kept for its healthy windows.
    Recent,
}

/// What a row is.
const SUMS: u8 = 0;
const SAMPLE: u8 = 1;
const HEALTHY: u8 = 2;
const NUMBERS: u8 = 3;

/// What [`decode`] gives back.
pub(super) struct Decoded {
    pub(super) periods: Vec<(Place, PeriodPartial)>,
    pub(super) numbers: Option<Vec<f64>>,
}

fn schema() -> Arc<Schema> {
    let field = |name: &str, kind| Field::new(name, kind, false);
    let list = |kind| DataType::List(Arc::new(Field::new("item", kind, true)));
    Arc::new(Schema::new(vec![
        field("row", DataType::UInt8),
        field("place", DataType::UInt8),
        field("period", DataType::Int64),
        field("model", DataType::Utf8),
        field("model_version", DataType::Utf8),
        field("windows", DataType::UInt64),
        field("error_sum", DataType::Decimal128(38, 0)),
        field("start", DataType::Int64),
        field("end", DataType::Int64),
        field("partition", DataType::UInt32),
        field("offset_from", DataType::UInt64),
        field("offset_to", DataType::UInt64),
        field("hash", DataType::UInt64),
        field("entity_id", DataType::Utf8),
        field("values", list(DataType::Float32)),
        field("raw", list(DataType::Float32)),
        field("variables", list(DataType::Utf8)),
        field("numbers", list(DataType::Float64)),
    ]))
}

/// A row before it is columns; what a kind of row does not use stays at its default.
#[derive(Default)]
struct Row<'a> {
    row: u8,
    windows: u64,
    error_sum: i128,
    start: i64,
    end: i64,
    partition: u32,
    from: u64,
    to: u64,
    hash: u64,
    entity: &'a str,
    values: &'a [f32],
    raw: &'a [f32],
    variables: &'a [Variable],
    numbers: &'a [f64],
}

struct Builders {
    small: [UInt8Builder; 2],
    period: Int64Builder,
    text: [StringBuilder; 3],
    windows: UInt64Builder,
    error_sum: Decimal128Builder,
    time: [Int64Builder; 2],
    partition: UInt32Builder,
    offset: [UInt64Builder; 2],
    hash: UInt64Builder,
    vector: [ListBuilder<Float32Builder>; 2],
    variables: ListBuilder<StringBuilder>,
    numbers: ListBuilder<Float64Builder>,
}

impl Builders {
    fn new() -> Self {
        Self {
            small: Default::default(),
            period: Int64Builder::new(),
            text: Default::default(),
            windows: UInt64Builder::new(),
            error_sum: Decimal128Builder::new().with_data_type(DataType::Decimal128(38, 0)),
            time: Default::default(),
            partition: UInt32Builder::new(),
            offset: Default::default(),
            hash: UInt64Builder::new(),
            vector: [
                ListBuilder::new(Float32Builder::new()),
                ListBuilder::new(Float32Builder::new()),
            ],
            variables: ListBuilder::new(StringBuilder::new()),
            numbers: ListBuilder::new(Float64Builder::new()),
        }
    }

    fn push(&mut self, place: Place, period: i64, model: &ModelId, row: &Row<'_>) {
        self.small[0].append_value(row.row);
        self.small[1].append_value(place as u8);
        self.period.append_value(period);
        self.text[0].append_value(&model.name);
        self.text[1].append_value(&model.version);
        self.text[2].append_value(row.entity);
        self.windows.append_value(row.windows);
        self.error_sum.append_value(row.error_sum);
        self.time[0].append_value(row.start);
        self.time[1].append_value(row.end);
        self.partition.append_value(row.partition);
        self.offset[0].append_value(row.from);
        self.offset[1].append_value(row.to);
        self.hash.append_value(row.hash);
        for (vector, values) in self.vector.iter_mut().zip([row.values, row.raw]) {
            vector.values().append_slice(values);
            vector.append(true);
        }
        for variable in row.variables {
            self.variables.values().append_value(format!(
                "{}:{}",
                variable.group.name(),
                variable.name
            ));
        }
        self.variables.append(true);
        self.numbers.values().append_slice(row.numbers);
        self.numbers.append(true);
    }

    fn period(&mut self, place: Place, period: &PeriodPartial) {
        let mut push = |row: &Row<'_>| self.push(place, period.period, &period.model, row);
        push(&Row {
            row: SUMS,
            windows: period.windows,
            error_sum: period.error_sum,
            start: period.first_end,
            end: period.last_end,
            partition: period.partition,
            from: period.offset_from,
            to: period.offset_to,
            variables: &period.variables,
            ..Row::default()
        });
        for ((hash, end, entity), values) in &period.sample.entries {
            push(&Row { row: SAMPLE, hash: *hash, end: *end, entity, values, ..Row::default() });
        }
        for ((hash, end, entity), window) in &period.healthy.entries {
            push(&Row {
                row: HEALTHY,
                windows: u64::from(window.rows),
                start: window.start,
                end: *end,
                partition: window.partition,
                from: window.from,
                to: window.to,
                hash: *hash,
                entity,
                values: &window.features,
                raw: &window.values,
                ..Row::default()
            });
        }
    }

    fn finish(mut self) -> Result<RecordBatch> {
        let [row, place] = &mut self.small;
        let [model, version, entity] = &mut self.text;
        let [start, end] = &mut self.time;
        let [from, to] = &mut self.offset;
        let [values, raw] = &mut self.vector;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(row.finish()),
            Arc::new(place.finish()),
            Arc::new(self.period.finish()),
            Arc::new(model.finish()),
            Arc::new(version.finish()),
            Arc::new(self.windows.finish()),
            Arc::new(self.error_sum.finish()),
            Arc::new(start.finish()),
            Arc::new(end.finish()),
            Arc::new(self.partition.finish()),
            Arc::new(from.finish()),
            Arc::new(to.finish()),
            Arc::new(self.hash.finish()),
            Arc::new(entity.finish()),
            Arc::new(values.finish()),
            Arc::new(raw.finish()),
            Arc::new(self.variables.finish()),
            Arc::new(self.numbers.finish()),
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}

/// Periods as rows, and numbers beside them under a model; `None` for nothing at all.
pub(super) fn encode<'a>(
    periods: impl Iterator<Item = (Place, &'a PeriodPartial)>,
    numbers: Option<(&ModelId, &[f64])>,
) -> Result<Option<RecordBatch>> {
    let mut builders = Builders::new();
    let mut empty = true;
    if let Some((model, numbers)) = numbers {
        empty = false;
        builders.push(Place::Open, 0, model, &Row { row: NUMBERS, numbers, ..Row::default() });
    }
    for (place, period) in periods {
        empty = false;
        builders.period(place, period);
    }
    if empty { Ok(None) } else { builders.finish().map(Some) }
}

/// What [`encode`] was given.
pub(super) fn decode(rows: &RecordBatch, operator: &'static str) -> Result<Decoded> {
    let wrong = |reason: &str| Error::Snapshot { operator, reason: reason.to_owned() };
    if rows.schema().fields() != schema().fields() {
        return Err(wrong("its columns are not those of this build"));
    }
    let text = |at: usize, row: usize| rows.column(at).as_string::<i32>().value(row);
    let number = |at: usize, row: usize| rows.column(at).as_primitive::<UInt64Type>().value(row);
    let signed = |at: usize, row: usize| rows.column(at).as_primitive::<Int64Type>().value(row);
    let small = |at: usize, row: usize| rows.column(at).as_primitive::<UInt8Type>().value(row);
    let partition = |row: usize| rows.column(9).as_primitive::<UInt32Type>().value(row);
    let floats = |at: usize, row: usize| {
        rows.column(at).as_list::<i32>().value(row).as_primitive::<Float32Type>().values().to_vec()
    };
    let mut decoded = Decoded { periods: Vec::new(), numbers: None };
    for row in 0..rows.num_rows() {
        let place = match small(1, row) {
            0 => Place::Open,
            1 => Place::Reference,
            2 => Place::Recent,
            _ => return Err(wrong("it keeps a period for a purpose this build does not know")),
        };
        let key = || (number(12, row), signed(8, row), text(13, row).to_owned());
        let last = decoded.periods.last_mut().map(|(_, period)| period);
        match (small(0, row), last) {
            (SUMS, _) => {
                let model =
                    ModelId { name: text(3, row).to_owned(), version: text(4, row).to_owned() };
                let variables = variables(&rows.column(16).as_list::<i32>().value(row))
                    .ok_or_else(|| wrong("it observes a variable that this build does not know"))?;
                let mut period =
                    PeriodPartial::new(signed(2, row), Arc::new(model), variables.into());
                period.windows = number(5, row);
                period.error_sum = rows.column(6).as_primitive::<Decimal128Type>().value(row);
                (period.first_end, period.last_end) = (signed(7, row), signed(8, row));
                period.partition = partition(row);
                (period.offset_from, period.offset_to) = (number(10, row), number(11, row));
                decoded.periods.push((place, period));
            }
            (SAMPLE, Some(period)) => drop(period.sample.entries.insert(key(), floats(14, row))),
            (HEALTHY, Some(period)) => {
                let window = Window {
                    start: signed(7, row),
                    partition: partition(row),
                    from: number(10, row),
                    to: number(11, row),
                    rows: number(5, row) as u32,
                    values: floats(15, row),
                    features: floats(14, row),
                };
                period.healthy.entries.insert(key(), window);
            }
            (NUMBERS, _) => {
                let numbers = rows.column(17).as_list::<i32>().value(row);
                decoded.numbers = Some(numbers.as_primitive::<Float64Type>().values().to_vec());
            }
            _ => return Err(wrong("a row stands without its period")),
        }
    }
    Ok(decoded)
}

fn variables(names: &ArrayRef) -> Option<Vec<Variable>> {
    let parse = |name: Option<&str>| {
        let (group, name) = name?.split_once(':')?;
        let group =
            [Group::Input, Group::Error, Group::Latent].into_iter().find(|g| g.name() == group)?;
        Some(Variable { group, name: name.to_owned() })
    };
    names.as_string::<i32>().iter().map(parse).collect()
}
