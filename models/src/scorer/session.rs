//! A model file to a session of the runtime.

use std::collections::HashMap;

use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{Outlet, ValueType};

use super::rewrite;
use crate::{Error, Result, runtime};

/// What a model file says of itself, read once without optimising it.
pub(super) struct Probe {
    pub(super) inputs: Vec<(String, Vec<i64>)>,
    pub(super) outputs: Vec<String>,
    pub(super) shapes: rewrite::Shapes,
}

impl Probe {
    pub(super) fn of(onnx: &[u8]) -> std::result::Result<Self, String> {
        let exposed = rewrite::exposed(onnx)
            .and_then(|exposed| session(&exposed, GraphOptimizationLevel::Disable).ok());
        let is_exposed = exposed.is_some();
        let session = match exposed {
            Some(session) => session,
            None => session(onnx, GraphOptimizationLevel::Disable).map_err(|e| e.to_string())?,
        };
        let describe = |outlet: &Outlet| {
            let dims = match outlet.dtype() {
                ValueType::Tensor { shape, .. } => Some(shape.to_vec()),
                _ => None,
            };
            (outlet.name().to_owned(), dims)
        };
        let inputs: Vec<(String, Vec<i64>)> = (session.inputs().iter().map(describe))
            .map(|(name, dims)| {
                Ok((name.clone(), dims.ok_or(format!("input `{name}` is no tensor"))?))
            })
            .collect::<std::result::Result<_, String>>()?;
        let all = session.outputs().iter().map(describe);
        let mut shapes: rewrite::Shapes =
            all.filter_map(|(name, dims)| Some((name, dims?))).collect::<HashMap<_, _>>();
        shapes.extend(inputs.iter().cloned());
        let outputs = match is_exposed {
            true => rewrite::outputs(onnx),
            false => session.outputs().iter().map(|outlet| outlet.name().to_owned()).collect(),
        };
        Ok(Self { inputs, outputs, shapes })
    }
}

pub(super) fn session(onnx: &[u8], level: GraphOptimizationLevel) -> Result<Session> {
    let environment = runtime::environment()?;
    let refused = |reason: String| Error::Runtime(reason);
    Session::builder(&environment)
        .map_err(|error| refused(error.to_string()))?
        .with_optimization_level(level)
        .map_err(|error| refused(error.to_string()))?
        .with_intra_threads(1)
        .map_err(|error| refused(error.to_string()))?
        .with_inter_threads(1)
        .map_err(|error| refused(error.to_string()))?
        .with_intra_op_spinning(false)
        .map_err(|error| refused(error.to_string()))?
        .with_inter_op_spinning(false)
        .map_err(|error| refused(error.to_string()))?
        .with_log_level(ort::logging::LogLevel::Warning)
        .map_err(|error| refused(error.to_string()))?
        .commit_from_memory(onnx)
        .map_err(|error| refused(error.to_string()))
}

/// The session to score with, and whether its graph is the rewritten one.
pub(super) fn session_for(
    onnx: &[u8],
    outputs: &[&str],
    may_rewrite: bool,
    probe: &Probe,
) -> Result<(Session, bool)> {
    let better = may_rewrite.then(|| rewrite::rewritten(onnx, outputs, &probe.shapes)).flatten();
    if let Some(better) = better {
        match session(&better, GraphOptimizationLevel::All) {
            Ok(session) => return Ok((session, true)),
            Err(error) => {
                tracing::warn!(%error, "a rewritten graph was refused; using it as it is")
            }
        }
    }
    Ok((session(onnx, GraphOptimizationLevel::All)?, false))
}
