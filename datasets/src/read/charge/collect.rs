//! Charges gathered row by row into columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, FixedSizeBinaryArray, Int64Array, RecordBatch,
    StringDictionaryBuilder, TimestampMicrosecondArray, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int32Type;
use cloudops_operators::schema::cost;
use cloudops_operators::schema::focus::{self, DETAILS, Holds};

use super::super::wide::times;
use crate::Result;

/// One charge, decoded.
pub(super) struct Charge<'a> {
    /// By place in [`super::LABELS`].
    pub(super) labels: [Option<&'a str>; 12],
    pub(super) start: i64,
    pub(super) known: i64,
    pub(super) billed: i128,
    pub(super) effective: i128,
    pub(super) line: Option<[u8; 16]>,
    pub(super) version: i64,
    /// By place in [`DETAILS`]; empty where rows are not kept.
    pub(super) details: Vec<Value<'a>>,
}

/// What a row says of a detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Nothing.
    None,
    /// A text.
    Text(&'a str),
    /// In units of 10⁻¹².
    Amount(i128),
    /// µs.
    Instant(i64),
}

/// Charges that have come since the last batch.
pub(super) struct Collected {
    labels: [StringDictionaryBuilder<Int32Type>; 12],
    time: Vec<i64>,
    offset: Vec<u64>,
    day: Vec<i32>,
    billed: Vec<i128>,
    effective: Vec<i128>,
    line: Vec<Option<[u8; 16]>>,
    version: Vec<i64>,
    details: Vec<Gathered>,
}

/// A detail's values.
enum Gathered {
    Texts(Box<StringDictionaryBuilder<Int32Type>>),
    Amounts(Vec<Option<i128>>),
    Instants(Vec<Option<i64>>),
}

impl Gathered {
    fn new(holds: Holds) -> Self {
        match holds {
            Holds::Text => Self::Texts(Box::default()),
            Holds::Amount => Self::Amounts(Vec::new()),
            Holds::Instant => Self::Instants(Vec::new()),
        }
    }

    fn push(&mut self, value: Value<'_>) {
        match (self, value) {
            (Self::Texts(texts), Value::Text(text)) => texts.append_value(text),
            (Self::Texts(texts), _) => texts.append_null(),
            (Self::Amounts(amounts), Value::Amount(amount)) => amounts.push(Some(amount)),
            (Self::Amounts(amounts), _) => amounts.push(None),
            (Self::Instants(instants), Value::Instant(us)) => instants.push(Some(us)),
            (Self::Instants(instants), _) => instants.push(None),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match self {
            Self::Texts(texts) => Arc::new(texts.finish()),
            Self::Amounts(amounts) => {
                let amounts = Decimal128Array::from(std::mem::take(amounts));
                let (precision, scale) = (cost::MONEY_PRECISION, cost::MONEY_SCALE);
                Arc::new(amounts.with_precision_and_scale(precision, scale)?)
            }
            Self::Instants(instants) => {
                let instants = TimestampMicrosecondArray::from(std::mem::take(instants));
                Arc::new(instants.with_timezone("UTC"))
            }
        })
    }
}

impl Collected {
    /// None yet; with [`DETAILS`] where rows are kept.
    pub(super) fn new(detailed: bool) -> Self {
        let details = DETAILS.iter().filter(|_| detailed);
        Self {
            labels: std::array::from_fn(|_| StringDictionaryBuilder::new()),
            time: Vec::new(),
            offset: Vec::new(),
            day: Vec::new(),
            billed: Vec::new(),
            effective: Vec::new(),
            line: Vec::new(),
            version: Vec::new(),
            details: details.map(|detail| Gathered::new(detail.holds)).collect(),
        }
    }

    /// Takes up one more.
    pub(super) fn push(&mut self, offset: u64, charge: &Charge<'_>) {
        for (builder, value) in self.labels.iter_mut().zip(charge.labels) {
            builder.append_option(value);
        }
        self.time.push(charge.known);
        self.offset.push(offset);
        self.day.push(cost::day_of(charge.start));
        self.billed.push(charge.billed);
        self.effective.push(charge.effective);
        self.line.push(charge.line);
        self.version.push(charge.version);
        for (place, gathered) in self.details.iter_mut().enumerate() {
            gathered.push(charge.details.get(place).copied().unwrap_or(Value::None));
        }
    }

    /// Those that have come since this was last asked.
    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        let line = std::mem::take(&mut self.line);
        let known = line.iter().map(Option::is_some).collect::<NullBuffer>();
        let digests = line.iter().flat_map(|line| line.unwrap_or_default()).collect();
        let rows = Rows {
            labels: self.labels.each_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef),
            time: Arc::new(times(std::mem::take(&mut self.time))),
            offset: std::mem::take(&mut self.offset),
            day: std::mem::take(&mut self.day),
            billed: money_array(std::mem::take(&mut self.billed))?,
            effective: money_array(std::mem::take(&mut self.effective))?,
            line: line_array(digests, Some(known))?,
            version: Arc::new(Int64Array::from(std::mem::take(&mut self.version))),
            details: self.details.iter_mut().map(Gathered::finish).collect::<Result<_>>()?,
        };
        rows.batch()
    }
}

/// Rows, column by column.
pub(super) struct Rows {
    /// By place in [`super::LABELS`].
    pub(super) labels: [ArrayRef; 12],
    pub(super) time: ArrayRef,
    pub(super) offset: Vec<u64>,
    pub(super) day: Vec<i32>,
    pub(super) billed: ArrayRef,
    pub(super) effective: ArrayRef,
    pub(super) line: ArrayRef,
    pub(super) version: ArrayRef,
    /// By place in [`DETAILS`]; none where rows are not kept.
    pub(super) details: Vec<ArrayRef>,
}

/// Amounts in units of 10⁻¹².
pub(super) fn money_array(amounts: Vec<i128>) -> Result<ArrayRef> {
    let amounts = Decimal128Array::from(amounts)
        .with_precision_and_scale(cost::MONEY_PRECISION, cost::MONEY_SCALE)?;
    Ok(Arc::new(amounts))
}

/// Digests, row after row; null where `known` says so.
pub(super) fn line_array(digests: Vec<u8>, known: Option<NullBuffer>) -> Result<ArrayRef> {
    let nulls = known.filter(|known| known.null_count() > 0);
    Ok(Arc::new(FixedSizeBinaryArray::try_new(cost::LINE_BYTES, digests.into(), nulls)?))
}

impl Rows {
    /// The rows in [`cost::schema`], or where they are kept in [`focus::schema`].
    pub(super) fn batch(self) -> Result<RecordBatch> {
        let [account, provider, billing, service, category, region, resource, rest @ ..] =
            self.labels;
        let [charge_category, charge_class, invoice, currency, tags] = rest;
        let mut columns: Vec<ArrayRef> = vec![
            account,
            self.time,
            Arc::new(UInt64Array::from(self.offset)),
            provider,
            billing,
            service,
            category,
            region,
            resource,
            charge_category,
            charge_class,
            Arc::new(Date32Array::from(self.day)),
            invoice,
            self.billed,
            self.effective,
            currency,
            tags,
            self.line,
            self.version,
        ];
        let schema = if self.details.is_empty() { cost::schema() } else { focus::schema() };
        columns.extend(self.details);
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}
