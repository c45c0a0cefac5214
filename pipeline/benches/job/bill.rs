//! A bill whose lines are stated anew, against DataFusion over the same file.

use std::fmt::Write;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use cloudops_operators::seeded::SplitMix64;
use cpu_time::ProcessTime;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::runs::{Job, best};
use crate::{MB, runs};

const ROWS: usize = 5_000_000;
const ACCOUNTS: u64 = 200;
const SERVICES: u64 = 50;
const DAYS: i64 = 30;
const FIRST_DAY: i64 = 20_454;
const DAY_MS: i64 = 86_400_000;
const GROUP: usize = 131_072;

/// What changed on each day that something was known, and what it came to: the job's two answers.
const QUERY: &str = "
    with said as (
        select *, lag(effective_cost) over (partition by line_id order by version) as before
        from rows
    ), change as (
        select account, service, day, cast(ingested_at as date) as known_on,
               sum(effective_cost - coalesce(before, 0)) as change
        from said group by account, service, day, cast(ingested_at as date)
    )
    select *, sum(change) over (partition by account, service, day order by known_on) as total
    from change";

/// A number that looks random and follows from another.
fn mix(number: u64) -> u64 {
    SplitMix64::new(number).bits()
}

/// Our job and theirs, three runs each in turn.
pub(crate) fn bill(job: &Job, work: &Path, report: &mut String) -> Result<()> {
    eprintln!("bill against DataFusion …");
    let input = work.join("bill");
    std::fs::create_dir_all(&input)?;
    let file = input.join("cost.parquet");
    write(&file, ROWS)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        ours.push(job.run_bill(&input)?);
        theirs.push(datafusion(&file)?);
    }
    let least = |of: fn(&runs::Run) -> f64| best(&ours.iter().map(of).collect::<Vec<_>>());
    let (wall, cpu, peak) = (least(|r| r.wall), least(|r| r.cpu), least(|r| r.peak));
    let their = |of: fn(&(f64, f64)) -> f64| best(&theirs.iter().map(of).collect::<Vec<_>>());
    let (their_wall, their_cpu) = (their(|t| t.0), their(|t| t.1));
    writeln!(
        report,
        "\n## A bill\n\n{ROWS} rows, {ACCOUNTS} accounts, {SERVICES} services, {DAYS} days; two in a \
         hundred state a line anew. Exact totals and every day's changes, committed, against \
         DataFusion's one query over the same file, in doubles, its answer not written. Least of three.\n\n\
         | | wall s | CPU s | peak MB |\n|---|--:|--:|--:|\n\
         | the job, 2 workers | {wall:.2} | {cpu:.2} | {:.0} |\n\
         | DataFusion, 2 threads | {their_wall:.2} | {their_cpu:.2} | |\n\
         | ratio | {:.2} | {:.2} | |",
        peak / MB,
        wall / their_wall,
        cpu / their_cpu,
    )?;
    Ok(())
}

/// Wall and CPU seconds of the query.
fn datafusion(file: &Path) -> Result<(f64, f64)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let (wall, cpu) = (std::time::Instant::now(), ProcessTime::now());
    let rows: usize = runtime.block_on(async {
        let config = SessionConfig::new().with_target_partitions(2);
        let context = SessionContext::new_with_config(config);
        let path = file.to_string_lossy();
        context.register_parquet("rows", path.as_ref(), ParquetReadOptions::default()).await?;
        let batches = context.sql(QUERY).await?.collect().await?;
        anyhow::Ok(batches.iter().map(RecordBatch::num_rows).sum())
    })?;
    ensure!(rows > 0, "the query gave nothing");
    Ok((wall.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64()))
}

/// Lines in the order in which they become known, within two days of their own; and of every fiftieth a
/// second version up to ten days later.
fn write(path: &Path, rows: usize) -> Result<()> {
    let lines = rows * 50 / 51;
    let mut order: Vec<(i64, u64, i32)> = Vec::with_capacity(rows);
    for line in 0..lines as u64 {
        let draw = mix(line);
        let known = known_ms(line) + (draw % (2 * DAY_MS as u64)) as i64;
        order.push((known, line, 1));
        if line % 50 == 0 {
            order.push((known + DAY_MS + (draw >> 33) as i64 % (9 * DAY_MS), line, 2));
        }
    }
    order.sort_unstable();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(GROUP))
        .build();
    let mut writer: Option<ArrowWriter<File>> = None;
    for some in order.chunks(GROUP) {
        let batch = batch(some)?;
        let open = match &mut writer {
            Some(open) => open,
            None => writer.insert(ArrowWriter::try_new(
                File::create(path)?,
                batch.schema(),
                Some(properties.clone()),
            )?),
        };
        open.write(&batch)?;
    }
    if let Some(writer) = writer {
        writer.close()?;
    }
    Ok(())
}

/// The beginning of a line's day.
fn known_ms(line: u64) -> i64 {
    (FIRST_DAY + (mix(line ^ 0xDA7) % DAYS as u64) as i64) * DAY_MS
}

fn batch(rows: &[(i64, u64, i32)]) -> Result<RecordBatch> {
    let text = |of: &dyn Fn(u64) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, line, _)| of(*line))))
    };
    let days = rows.iter().map(|(_, line, _)| (known_ms(*line) / DAY_MS) as i32);
    let times = rows.iter().map(|(known, ..)| *known);
    let costs = rows
        .iter()
        .map(|(_, line, version)| (mix(line * 3 + *version as u64) % 1_000_000) as f64 / 1e4);
    Ok(RecordBatch::try_from_iter([
        ("line_id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1 as i64))) as _),
        ("version", Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.2))) as _),
        ("account", text(&|line| format!("acct-{:05}", mix(line ^ 1) % ACCOUNTS))),
        ("service", text(&|line| format!("service-{:03}", mix(line ^ 2) % SERVICES))),
        ("day", Arc::new(Date32Array::from_iter_values(days)) as _),
        ("ingested_at", Arc::new(TimestampMillisecondArray::from_iter_values(times)) as _),
        ("effective_cost", Arc::new(Float64Array::from_iter_values(costs)) as _),
    ])?)
}
