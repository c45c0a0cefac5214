//! The graph's ends: an epoch's rows of one table become one file a worker.

use std::sync::Arc;

use cloudops_operators::flow::{self, Batches};
use cloudops_operators::supervise::Supervisor;
use cloudops_sql::table;
use timely::dataflow::channels::pact::Pipeline;

use super::project::{Renames, project};
use super::{Staging, encode};
use crate::config::Compression;
use crate::job::StreamJob;

/// One stream's sinks on one worker.
#[derive(Debug, Clone)]
pub struct Sinks {
    stream: Arc<StreamJob>,
    compression: Compression,
    staging: Staging,
    supervisor: Supervisor,
}

impl Sinks {
    /// Sinks that stage into `staging`.
    #[must_use]
    pub fn new(
        stream: &Arc<StreamJob>,
        compression: Compression,
        staging: &Staging,
        supervisor: &Supervisor,
    ) -> Self {
        let (stream, staging, supervisor) =
            (Arc::clone(stream), staging.clone(), supervisor.clone());
        Self { stream, compression, staging, supervisor }
    }

    /// Stages a table's rows. What it returns carries nothing and is there to be probed.
    pub fn table<'scope>(
        &self,
        rows: Batches<'scope>,
        table: &'static str,
        renames: Renames,
    ) -> Batches<'scope> {
        let (source, compression) = (self.stream.name.clone(), self.compression);
        let staging = self.staging.clone();
        let mut writer = None;
        let name = format!("write {table}");
        flow::gather(rows, Pipeline, &name, &self.supervisor, move |epoch, batches| {
            if writer.is_none() {
                let schema = table::schema(table)
                    .ok_or_else(|| anyhow::anyhow!("there is no table {table}"))?;
                writer = Some((encode::properties(&schema, compression)?, schema));
            }
            let Some((properties, schema)) = &writer else { return Ok(Vec::new()) };
            let rows = batches
                .iter()
                .map(|batch| project(batch, schema, epoch, &source, renames))
                .collect::<anyhow::Result<Vec<_>>>()?;
            staging.add(epoch, encode::encode(table, &source, schema, properties, &rows)?);
            anyhow::Ok(Vec::new())
        })
    }
}
