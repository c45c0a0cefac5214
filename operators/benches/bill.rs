//! A bill's totals: loading lines, correcting one, what they take in memory, and what of it is freed
//! when months close.
//!
//! `cargo bench --workspace --bench bill -- [lines]`, 2 million lines unless told: 200 accounts, 50
//! services, 30 days, in batches of 16,384.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, DictionaryArray, FixedSizeBinaryBuilder, Int64Array,
    RecordBatch, TimestampMicrosecondArray, UInt64Array, new_null_array,
};
use arrow::datatypes::Int32Type;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use cloudops_operators::Error;
use cloudops_operators::bill::{Bill, Clock};
use cloudops_operators::epoch::Partition;
use cloudops_operators::key::digest;
use cloudops_operators::schema::cost::{
    self, BILLED_COST, BILLING_ACCOUNT, CHARGE_CATEGORY, CURRENCY, DAY, DAY_US, EFFECTIVE_COST,
    LINE, LINE_BYTES, MONEY_PRECISION, MONEY_SCALE, PROVIDER, SERVICE, VERSION,
};
use cloudops_operators::schema::{ENTITY_ID, OFFSET, TS, label};
use cloudops_operators::seeded::SplitMix64;
use cloudops_operators::shelf::{Shelf, Slot};
use cpu_time::ThreadTime;

const BATCH: u64 = 16_384;
const FIRST_DAY: i32 = 20_454;

/// A number that looks random and follows from another.
fn mix(number: u64) -> u64 {
    SplitMix64::new(number).bits()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let lines = arguments.find_map(|argument| argument.parse().ok()).unwrap_or(2_000_000_u64);
    let mut clock = Clock::new(0);
    let mut batches = Vec::new();
    for from in (0..lines).step_by(BATCH as usize) {
        let numbers: Vec<u64> = (from..lines.min(from + BATCH)).collect();
        batches.push(clock.judge(&batch(&numbers, 1, FIRST_DAY)).expect("fits"));
    }
    let before = resident();
    let mut bill = Bill::new(&[]).expect("valid");
    let begin = ThreadTime::now();
    for (at, batch) in batches.iter().enumerate() {
        bill.push(Partition(0), batch, None).expect("fits");
        if at % 8 == 7 {
            std::hint::black_box(bill.take_changes().expect("builds"));
        }
    }
    std::hint::black_box(bill.take_changes().expect("builds"));
    let spent = begin.elapsed().as_nanos() as f64;
    let (keys, known) = bill.size();
    let taken = resident().saturating_sub(before) as f64;
    tell(&format!(
        "load: {:.0} ns a line, {:.2} M lines per CPU second; {known} lines of {keys} totals in \
         {:.0} MB, {:.0} bytes a line",
        spent / lines as f64,
        lines as f64 * 1e3 / spent,
        taken / 1e6,
        taken / known as f64,
    ));
    let corrections: Vec<RecordBatch> = (0..1_000)
        .map(|n| {
            let correction = batch(&[mix(n) % lines], 2, FIRST_DAY);
            clock.judge(&correction).expect("fits")
        })
        .collect();
    let begin = ThreadTime::now();
    for correction in &corrections {
        bill.push(Partition(0), correction, None).expect("fits");
        let changes = bill.take_changes().expect("builds").expect("something changed");
        assert_eq!(changes.num_rows(), 1);
    }
    let spent = begin.elapsed().as_nanos() as f64 / corrections.len() as f64;
    tell(&format!("one correction, an epoch of its own: {:.1} µs to its row", spent / 1e3));
    drop((bill, batches, corrections));
    months(lines / 16);
}

/// Two years of bills, a month after the other, with a shelf and without: what they hold in memory, and
/// what it takes to correct a line of the first month.
fn months(lines: u64) {
    for shelf in [true, false] {
        let mut bill = Bill::new(&[]).expect("valid");
        if shelf {
            bill = bill.on_shelf(Box::new(Away::new()));
        }
        let mut clock = Clock::new(0);
        let mut push = |bill: &mut Bill, rows: &[u64], version, month: i32| {
            let rows = clock.judge(&batch(rows, version, FIRST_DAY + 31 * month)).expect("fits");
            bill.push(Partition(0), &rows, None).expect("fits");
            std::hint::black_box(bill.take_changes().expect("builds"));
        };
        for month in 0..24 {
            for from in (0..lines).step_by(BATCH as usize) {
                let rows: Vec<u64> = (from..lines.min(from + BATCH)).collect();
                push(&mut bill, &rows, 1, month);
            }
        }
        let (keys, known) = bill.size();
        let begin = ThreadTime::now();
        push(&mut bill, &[7], 2, 0);
        let fetched = begin.elapsed().as_secs_f64() * 1e3;
        tell(&format!(
            "24 months of {lines} lines, {}: {known} lines of {keys} totals in memory; a line of the \
             first month corrected in {fetched:.2} CPU ms",
            if shelf { "those that have closed put away" } else { "all kept" },
        ));
    }
}

/// A shelf in a file that only grows.
#[derive(Debug)]
struct Away(File, u64);

impl Away {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("cloudops-bench-{}", std::process::id()));
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path);
        std::fs::remove_file(path).expect("just made");
        Self(file.expect("a directory for temporary files"), 0)
    }
}

impl Shelf for Away {
    fn put(&mut self, state: &RecordBatch) -> Result<Slot, Error> {
        let mut writer = StreamWriter::try_new(Vec::new(), &state.schema())?;
        writer.write(state)?;
        let bytes = writer.into_inner()?;
        let slot = Slot { at: self.1, len: bytes.len() as u64 };
        self.0.write_all_at(&bytes, slot.at).expect("room");
        self.1 += slot.len;
        Ok(slot)
    }

    fn get(&self, slot: Slot) -> Result<RecordBatch, Error> {
        let mut bytes = vec![0; slot.len as usize];
        self.0.read_exact_at(&mut bytes, slot.at).expect("written");
        let batch = StreamReader::try_new(&bytes[..], None)?.next().transpose()?;
        batch.ok_or_else(|| Error::Shelf("nothing is there".to_owned()))
    }

    fn free(&mut self, _: Slot) {}
}

/// Lines by number, all of one version, in the thirty days from one on.
fn batch(lines: &[u64], version: i64, first: i32) -> RecordBatch {
    let text = |of: &dyn Fn(u64) -> String| -> ArrayRef {
        let texts: Vec<String> = lines.iter().map(|line| of(*line)).collect();
        Arc::new(
            texts.iter().map(|text| Some(text.as_str())).collect::<DictionaryArray<Int32Type>>(),
        )
    };
    let same = |value: &str| text(&|_| value.to_owned());
    let day = |line: u64| first + (mix(line) % 30) as i32;
    let money = || -> ArrayRef {
        let amounts =
            lines.iter().map(|line| i128::from(mix(line ^ 3) % 1_000_000 + version as u64));
        let amounts = Decimal128Array::from_iter_values(amounts);
        Arc::new(amounts.with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE).expect("fits"))
    };
    let mut digests = FixedSizeBinaryBuilder::new(LINE_BYTES);
    for line in lines {
        digests.append_value(digest([line.to_string().as_bytes()])).expect("16 bytes");
    }
    let times = lines.iter().map(|line| i64::from(day(*line)) * DAY_US);
    let schema = cost::schema();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        ENTITY_ID | BILLING_ACCOUNT => text(&|line| format!("acct-{:05}", mix(line ^ 1) % 200)),
        SERVICE => text(&|line| format!("service-{:03}", mix(line ^ 2) % 50)),
        PROVIDER => same("cloud"),
        CURRENCY => same("USD"),
        CHARGE_CATEGORY => same("Usage"),
        TS => Arc::new(
            TimestampMicrosecondArray::from_iter_values(times.clone()).with_timezone("UTC"),
        ),
        OFFSET => Arc::new(UInt64Array::from_iter_values(lines.iter().copied())),
        DAY => Arc::new(Date32Array::from_iter_values(lines.iter().map(|line| day(*line)))),
        BILLED_COST | EFFECTIVE_COST => money(),
        LINE => Arc::new(digests.finish_cloned()),
        VERSION => Arc::new(Int64Array::from_value(version, lines.len())),
        _ => new_null_array(&label(), lines.len()),
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("the schema's columns")
}

/// Bytes of memory in use; 0 where the system does not say.
fn resident() -> usize {
    let told = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    told.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

#[allow(clippy::print_stdout, reason = "a bench prints its result")]
fn tell(line: &str) {
    println!("{line}");
}
