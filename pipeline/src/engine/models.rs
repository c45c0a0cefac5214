//! Which models are in force when a job starts.

use anyhow::{Context, Result, bail};
use cloudops_models::registry::{BroughtModel, Registry};
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::record::{Promote, Record};
use tokio::runtime::Runtime;

use crate::clock::Clock;
use crate::job::{Job, StreamJob};

/// Makes sure that every scored stream has a model in force from the beginning.
///
/// A model that the configuration brings is registered and promoted now; one that must be
/// trained is asked for.
///
/// # Errors
/// When a stream has no model in force, or the brought one does not fit.
pub(super) fn ensure_promoted(
    job: &Job,
    registry: &Registry,
    catalog: &mut Catalog,
    runtime: &Runtime,
    clock: &dyn Clock,
) -> Result<()> {
    for stream in &job.streams {
        let Some(model) = &stream.model else { continue };
        if !catalog.state().timeline(&stream.name).entries().is_empty() {
            continue;
        }
        let Some(onnx) = &model.onnx else {
            bail!(
                "stream {:?} has no model in force: run `cloudops train` with this configuration first",
                stream.name
            );
        };
        let id = registry
            .register_onnx(onnx, stream.model_name(), brought(stream)?)
            .with_context(|| format!("stream {:?}: registering {}", stream.name, onnx.display()))?;
        let promote = Promote {
            stream: stream.name.clone(),
            model: id,
            effective_from_us: i64::MIN,
            reason: "brought by the configuration".to_owned(),
            promoted_at_us: clock.now_us(),
        };
        runtime.block_on(catalog.append(Record::Promote(promote)))?;
    }
    Ok(())
}

/// What the configuration says of a brought model; its outputs are found by their names.
fn brought(stream: &StreamJob) -> Result<BroughtModel> {
    let steps = stream.steps().with_context(|| {
        format!("stream {:?}: a brought model needs windows by count", stream.name)
    })?;
    let channels = stream.channels.clone();
    Ok(BroughtModel { steps, channels, outputs: None, score_quantiles: Vec::new() })
}
