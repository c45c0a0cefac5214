//! The same file through DataFusion alone: one scan, one group-by, the same six statistics.

use std::path::Path;

use anyhow::{Result, ensure};
use cpu_time::ProcessTime;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

use crate::input::CHANNELS;

/// CPU seconds for the statistics of every machine's rows in blocks of 30 seconds.
pub(crate) fn group_by(input: &Path, cores: usize) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cores).build()?;
    let begin = ProcessTime::now();
    let groups: usize = runtime.block_on(async {
        let config = SessionConfig::new().with_target_partitions(cores);
        let context = SessionContext::new_with_config(config);
        let path = input.to_string_lossy();
        context.register_parquet("rows", path.as_ref(), ParquetReadOptions::default()).await?;
        // Collected, for a count alone would leave the statistics out.
        let batches = context.sql(&query()).await?.collect().await?;
        anyhow::Ok(batches.iter().map(|batch| batch.num_rows()).sum())
    })?;
    ensure!(groups > 0, "the group-by gave nothing");
    Ok(begin.elapsed().as_secs_f64())
}

fn query() -> String {
    let mut statistics = Vec::new();
    for c in 0..CHANNELS {
        statistics.push(format!(
            "avg(ch_{c:02}), stddev_pop(ch_{c:02}), min(ch_{c:02}), max(ch_{c:02}), \
             regr_slope(ch_{c:02}, at), sqrt(avg(ch_{c:02} * ch_{c:02}))"
        ));
    }
    format!(
        "select machine_id, block, {} from (select *, cast(ts as bigint) as at, \
         cast(ts as bigint) / 30000 as block from rows) group by machine_id, block",
        statistics.join(", ")
    )
}
