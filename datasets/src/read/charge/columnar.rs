//! Charges from Parquet, near the speed of decoding it.
//!
//! A batch in which everything is plainly good is converted column by column; one pass a column finds
//! out. Any other is read record by record, as text is.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, Int64Array, PrimitiveArray, RecordBatch,
    StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int32Type, Int64Type};
use cloudops_operators::key::digest;
use cloudops_operators::schema::focus::{self, DETAILS, Detail, Holds};
use cloudops_operators::schema::{cost, label};
use parquet::file::reader::ChunkReader;

use super::super::columnar::{Batches, Opened, Placed, row_cells, row_json};
use super::super::decode::{Decode, reject};
use super::super::record::select;
use super::super::wide_parquet::column_times;
use super::super::{BATCH_ROWS, ReadBatch, Reader};
use super::collect::{Rows, line_array, money_array};
use super::decode::{Charges, check, is_nothing};
use super::detail::detail;
use super::{Label, Plan};
use crate::Result;

/// Opens a Parquet file of charges.
pub(in crate::read) fn open<B: ChunkReader + 'static>(
    blob: B,
    name: &str,
    plan: Plan,
    first_offset: u64,
    skip: u64,
) -> Result<Box<dyn Reader>> {
    let whole = Placed::whole(skip);
    let (batches, columns) = match Opened::new(blob, name)? {
        None => (Batches::empty(name), vec![None; plan.wants.len()]),
        Some(opened) => {
            let places = select(name, &plan.wants, &opened.names(), plan.naming)?;
            let mut chosen: Vec<usize> = places.iter().flatten().copied().collect();
            chosen.sort_unstable();
            chosen.dedup();
            let columns = places.iter().map(|at| at.and_then(|at| chosen.binary_search(&at).ok()));
            let columns: Vec<Option<usize>> = columns.collect();
            // What identifies a line does not repeat: a dictionary of it would only cost.
            let details = plan.details.iter().zip(&DETAILS);
            let details = details.filter(|(_, detail)| detail.holds == Holds::Text);
            let details = details.filter_map(|(column, _)| column.as_ref());
            let labels = plan.labels.iter().flat_map(|label| &label.columns).chain(details);
            let labels: Vec<usize> = labels.filter_map(|column| places[*column]).collect();
            (opened.with_labels(&labels)?.read(chosen, BATCH_ROWS, whole)?, columns)
        }
    };
    let plan = Arc::new(plan);
    let fixed = plan.labels.iter().map(fixed).collect::<Result<_>>()?;
    Ok(Box::new(ChargeParquet {
        fixed,
        zeros: Arc::new(Int64Array::from_value(0, BATCH_ROWS)),
        batches: Placed::new(batches, first_offset, skip),
        columns,
        slow: Charges::new(Arc::clone(&plan)),
        plan,
    }))
}

struct ChargeParquet {
    batches: Placed,
    /// For each column asked for, its place in a batch.
    columns: Vec<Option<usize>>,
    plan: Arc<Plan>,
    slow: Charges,
    /// By place, a batch of a label that no column gives; none where a row must have one.
    fixed: Vec<Option<ArrayRef>>,
    /// A batch of versions where no column gives them.
    zeros: ArrayRef,
}

impl Reader for ChargeParquet {
    fn next_batch(&mut self) -> Result<Option<ReadBatch>> {
        match self.batches.next()? {
            None => Ok(None),
            Some((first_offset, Ok(batch))) => self.read(first_offset, &batch).map(Some),
            Some((first_offset, Err(reject))) => Ok(Some(ReadBatch {
                first_offset,
                records: 1,
                rows: RecordBatch::new_empty(match self.plan.details.is_empty() {
                    true => cost::schema(),
                    false => focus::schema(),
                }),
                rejects: vec![reject],
            })),
        }
    }
}

impl ChargeParquet {
    fn read(&mut self, first_offset: u64, batch: &RecordBatch) -> Result<ReadBatch> {
        let records = batch.num_rows() as u64;
        if let Some(rows) = self.fast(first_offset, batch)? {
            return Ok(ReadBatch { first_offset, records, rows, rejects: Vec::new() });
        }
        let mut rejects = Vec::new();
        let mut cells = row_cells(batch, &self.columns);
        for row in 0..batch.num_rows() {
            let offset = first_offset + row as u64;
            if let Err(fault) = self.slow.decode(row as u64, offset, &cells.of(row)) {
                rejects.push(reject(offset, fault, row_json(batch, row)));
            }
        }
        Ok(ReadBatch { first_offset, records, rows: self.slow.finish()?, rejects })
    }

    /// The rows of a batch in which everything is plainly good; none of another.
    fn fast(&self, first_offset: u64, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let (plan, rows) = (&self.plan, batch.num_rows());
        let column = |asked: usize| self.columns[asked].map(|at| batch.column(at));
        let time = |asked: usize| -> Result<Option<TimestampMicrosecondArray>> {
            let Some(column) = column(asked) else { return Ok(None) };
            if !(column.data_type().is_temporal() || column.data_type().is_integer()) {
                return Ok(None);
            }
            column_times(column, &plan.time_format)
        };
        let Some(start) = time(plan.start)? else { return Ok(None) };
        let known = match plan.known {
            None => start.clone(),
            Some(asked) => match time(asked)? {
                Some(known) => known,
                None => return Ok(None),
            },
        };
        if let Some(asked) = plan.end {
            let Some(end) = time(asked)? else { return Ok(None) };
            if end.values().iter().zip(start.values()).any(|(end, start)| end < start) {
                return Ok(None);
            }
        }
        let amount = |asked: usize| column(asked).map_or(Ok(None), amounts);
        let Some(effective) = amount(plan.effective)? else { return Ok(None) };
        let billed = match plan.billed == plan.effective {
            true => Some(Arc::clone(&effective)),
            false => amount(plan.billed)?,
        };
        let Some(billed) = billed else { return Ok(None) };
        let version = match plan.version {
            None => Some(Arc::clone(&self.zeros)),
            Some(asked) => column(asked).map_or(Ok(None), whole)?,
        };
        let Some(version) = version else { return Ok(None) };
        let Some(line) = self.lines(batch)? else { return Ok(None) };
        let mut labels = Vec::with_capacity(plan.labels.len());
        for (place, label) in plan.labels.iter().enumerate() {
            match labelled(place, label, &column, &self.fixed[place])? {
                Some(array) => labels.push(array.slice(0, rows)),
                None => return Ok(None),
            }
        }
        let Ok(labels) = labels.try_into() else { return Ok(None) };
        let mut details = Vec::with_capacity(plan.details.len());
        for (asked, Detail { holds, .. }) in plan.details.iter().zip(&DETAILS) {
            match detail(asked.and_then(column), *holds, rows, &plan.time_format)? {
                Some(array) => details.push(array),
                None => return Ok(None),
            }
        }
        let day = start.values().iter().map(|us| cost::day_of(*us)).collect();
        let rows = Rows {
            labels,
            time: Arc::new(known.with_timezone("UTC")),
            offset: (first_offset..first_offset + rows as u64).collect(),
            day,
            billed,
            effective,
            line,
            version: version.slice(0, rows),
            details,
        };
        rows.batch().map(Some)
    }

    /// The digest of every row's line.
    fn lines(&self, batch: &RecordBatch) -> Result<Option<ArrayRef>> {
        let rows = batch.num_rows();
        let mut parts = Vec::with_capacity(self.plan.line.len());
        for asked in &self.plan.line {
            let Some(at) = self.columns[*asked] else { return Ok(None) };
            match Part::of(batch.column(at))? {
                Some(part) => parts.push(part),
                None => return Ok(None),
            }
        }
        if parts.is_empty() {
            return Ok(Some(new_null_array(&DataType::FixedSizeBinary(cost::LINE_BYTES), rows)));
        }
        let mut texts = vec![Vec::new(); parts.len()];
        let mut lines = Vec::with_capacity(rows * cost::LINE_BYTES as usize);
        for row in 0..rows {
            for (text, part) in texts.iter_mut().zip(&parts) {
                text.clear();
                part.write(row, text);
                if text.is_empty() {
                    return Ok(None);
                }
            }
            lines.extend_from_slice(&digest(texts.iter().map(Vec::as_slice)));
        }
        line_array(lines, None).map(Some)
    }
}

/// A column that is part of what identifies a line.
enum Part {
    Number(PrimitiveArray<Int64Type>),
    Text(StringArray),
}

impl Part {
    fn of(column: &ArrayRef) -> Result<Option<Self>> {
        if column.null_count() > 0 {
            return Ok(None);
        }
        Ok(match column.data_type() {
            DataType::UInt64 => None,
            kind if kind.is_integer() => {
                Some(Self::Number(cast(column, &DataType::Int64)?.as_primitive().clone()))
            }
            DataType::Utf8 | DataType::Dictionary(..) => {
                let texts = cast(column, &DataType::Utf8)?.as_string::<i32>().clone();
                let plain = |text: &str| text.trim_ascii().len() == text.len() && !is_nothing(text);
                texts.iter().flatten().all(plain).then_some(Self::Text(texts))
            }
            _ => None,
        })
    }

    fn write(&self, row: usize, text: &mut Vec<u8>) {
        match self {
            Self::Number(numbers) => write_number(numbers.value(row), text),
            Self::Text(texts) => text.extend_from_slice(texts.value(row).as_bytes()),
        }
    }
}

/// The number as it would be written.
fn write_number(number: i64, text: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        text.push(b'-');
    }
    text.extend_from_slice(&digits[at..]);
}

/// A batch of a label that no column gives.
fn fixed(label_of: &Label) -> Result<Option<ArrayRef>> {
    Ok(match (&label_of.otherwise, &label_of.required) {
        (Some(value), _) => {
            let keys = Int32Array::from_value(0, BATCH_ROWS);
            let values = Arc::new(StringArray::from(vec![value.as_str()]));
            Some(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values)?))
        }
        (None, Some(_)) => None,
        (None, None) => Some(new_null_array(&label(), BATCH_ROWS)),
    })
}

/// A label's column; none where a row must be looked at by itself.
fn labelled<'a>(
    place: usize,
    label_of: &Label,
    column: &impl Fn(usize) -> Option<&'a ArrayRef>,
    fixed: &Option<ArrayRef>,
) -> Result<Option<ArrayRef>> {
    let mut present = label_of.columns.iter().filter_map(|asked| column(*asked));
    let Some(array) = present.find(|array| array.null_count() < array.len()) else {
        return Ok(fixed.clone());
    };
    let fixed = label_of.required.is_some() || label_of.otherwise.is_some();
    if array.null_count() > 0 && (fixed || present.next().is_some()) {
        return Ok(None);
    }
    if !matches!(array.data_type(), DataType::Utf8 | DataType::Dictionary(..)) {
        return Ok(None);
    }
    let array = cast(array, &label())?;
    let texts = array.as_dictionary::<Int32Type>().values().as_string::<i32>();
    let good = |text: &str| {
        let plain = !text.is_empty() && text.trim_ascii().len() == text.len();
        plain && !is_nothing(text) && check(place, text).is_ok()
    };
    Ok(texts.iter().flatten().all(good).then_some(array))
}

/// Whole numbers; none where one is missing.
fn whole(column: &ArrayRef) -> Result<Option<ArrayRef>> {
    let fits = column.data_type().is_integer() && *column.data_type() != DataType::UInt64;
    if column.null_count() > 0 || !fits {
        return Ok(None);
    }
    Ok(Some(cast(column, &DataType::Int64)?))
}

/// Money in units of 10⁻¹²; none where an amount is missing, or takes a closer look.
pub(super) fn amounts(column: &ArrayRef) -> Result<Option<ArrayRef>> {
    if column.null_count() > 0 {
        return Ok(None);
    }
    let amounts: Option<Vec<i128>> = match column.data_type() {
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().values();
            values.iter().map(|value| plain_decimal(*value)).collect()
        }
        DataType::Decimal128(_, scale) if (0..=cost::MONEY_SCALE).contains(scale) => {
            let factor = 10_i128.pow((cost::MONEY_SCALE - scale).unsigned_abs().into());
            let values = column.as_primitive::<Decimal128Type>().values();
            let fits = |value: &i128| value.unsigned_abs() < 10_u128.pow(38);
            values.iter().map(|value| value.checked_mul(factor).filter(fits)).collect()
        }
        _ => None,
    };
    amounts.map(money_array).transpose()
}

/// A double that stands for a decimal of at most six places and not too many digits, in units of
/// 10⁻¹²: exactly the decimal that its shortest form would be read as.
///
/// `value × 10⁶` errs by less than half a unit below 2⁵², so rounding finds the only candidate; division
/// of two exact numbers rounds correctly, so the candidate's double is `value` or it is not.
fn plain_decimal(value: f64) -> Option<i128> {
    let millionths = (value * 1e6).round();
    let exact = millionths.abs() < 1e15 && millionths / 1e6 == value;
    exact.then(|| millionths as i128 * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::super::decode::money;
    use super::*;

    #[test]
    fn numbers_are_written_as_text_has_them() {
        for number in [0, 7, -1, 1_234_567_890, i64::MAX, i64::MIN] {
            let mut text = Vec::new();
            write_number(number, &mut text);
            assert_eq!(String::from_utf8(text).unwrap(), number.to_string());
        }
    }

    #[test]
    fn doubles_are_the_decimals_that_they_were_written_as() {
        for text in ["0", "-0.1", "0.3", "1.005", "123456.654321", "999999999.999999", "-7"] {
            let value: f64 = text.parse().unwrap();
            assert_eq!(plain_decimal(value), Some(money(text).unwrap()), "{text}");
        }
        for value in [1e-7, 0.1 + 0.2, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(plain_decimal(value), None, "{value}");
        }
    }
}
