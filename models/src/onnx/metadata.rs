//! What a model file says of itself: its `metadata_props`.
//!
//! The file's version is the hash of its bytes, so it cannot stand in it.

use std::collections::BTreeMap;

use cloudops_operators::score::ModelInfo;
use prost::Message;

use super::proto;
use crate::specification::Specification;
use crate::{Error, Result};

/// The model's name.
pub const NAME: &str = "name";
/// The architecture's name.
pub const ARCHITECTURE: &str = "architecture";
/// The whole [`Specification`], JSON.
pub const SPECIFICATION: &str = "specification";
/// [`crate::specification::schema_hash`].
pub const SCHEMA_HASH: &str = "schema_hash";
/// [`crate::calibrate::Calibration`], JSON.
pub const CALIBRATION: &str = "calibration";
/// [`ModelInfo`] with an empty version, JSON.
pub const MODEL_INFO: &str = "model_info";
/// [`crate::train::TrainReport`], JSON.
pub const TRAINING: &str = "training";
/// [`super::forest::Description`], JSON.
pub const FOREST: &str = "forest";
/// [`crate::zombie::Limits`], JSON.
pub const LIMITS: &str = "limits";
/// [`crate::zombie::LearnedFrom`], JSON.
pub const LEARNED_FROM: &str = "learned_from";

/// All entries of a file, whoever made it.
///
/// # Errors
/// [`Error::Model`] when the bytes are no ONNX file.
pub fn metadata(onnx: &[u8]) -> Result<BTreeMap<String, String>> {
    let entries = decode(onnx)?.metadata_props;
    Ok(entries.into_iter().map(|entry| (entry.key, entry.value)).collect())
}

/// Adds entries, or replaces them, and leaves the rest of one of *our* files as it is: where the
/// training data came from, say. Must precede registration, since it changes the version.
///
/// # Errors
/// [`Error::Model`] when the bytes are no ONNX file, or not one that we exported: others may hold
/// what we do not know, and it would be lost.
pub fn with_metadata(onnx: &[u8], more: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut model = decode(onnx)?;
    if model.encode_to_vec() != onnx {
        return Err(damaged("only files exported here can be given more metadata"));
    }
    model.metadata_props.retain(|entry| !more.contains_key(&entry.key));
    model.metadata_props.extend(
        more.iter().map(|(key, value)| proto::Entry { key: key.clone(), value: value.clone() }),
    );
    Ok(model.encode_to_vec())
}

/// What operators need to know of a file that we exported, under the version given.
///
/// # Errors
/// [`Error::Model`] when the bytes are no ONNX file, or lack the entry.
pub fn model_info(onnx: &[u8], version: &str) -> Result<ModelInfo> {
    let mut info: ModelInfo = entry(onnx, MODEL_INFO)?;
    info.id.version = version.to_owned();
    Ok(info)
}

/// The specification that a file we exported was trained by.
///
/// # Errors
/// [`Error::Model`] when the bytes are no ONNX file, or lack the entry.
pub fn specification(onnx: &[u8]) -> Result<Specification> {
    entry(onnx, SPECIFICATION)
}

pub(crate) fn entry<T: serde::de::DeserializeOwned>(onnx: &[u8], key: &str) -> Result<T> {
    let entries = metadata(onnx)?;
    let text = entries.get(key).ok_or_else(|| damaged(&format!("no metadata `{key}`")))?;
    serde_json::from_str(text).map_err(|error| damaged(&format!("metadata `{key}`: {error}")))
}

pub(super) fn decode(onnx: &[u8]) -> Result<proto::Model> {
    let model = proto::Model::decode(onnx).map_err(|error| damaged(&error.to_string()))?;
    if model.graph.is_none() {
        return Err(damaged("it holds no graph"));
    }
    Ok(model)
}

pub(super) fn damaged(reason: &str) -> Error {
    Error::Model { model: "onnx file".to_owned(), reason: reason.to_owned() }
}
