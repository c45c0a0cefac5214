//! Immutable model versions in a local directory.
//!
//! ```text
//! <root>/<name>/<version>/model.onnx   the file as it was given
//!                         info.json    the Entry: description, hash, what was measured
//!                         <extra>.json specification, training report, ...: one a member given
//!                         card.md card.json card.svg   generated, and made anew when more is known
//! ```
//!
//! A version is the first 16 hex digits of the SHA-256 of `model.onnx`, so the
//! same file is the same version wherever it is registered, and registering it
//! twice is no error. A version appears whole or not at all: it is written
//! beside its place, flushed, and renamed into it. Which version is in force
//! is not known here: that is a record in the catalog's log.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cloudops_operators::key::hex;
use cloudops_operators::score::{ModelId, ModelInfo, Scorer, ScorerFactory};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::card::ModelCard;
use crate::onnx::metadata;
use crate::scorer::{
    InputShapes, Invariance, OrtScorer, OutputNames, Scheme, ScorerOptions, invariance,
};
use crate::{Error, Result};

/// Windows a model is tried on at registration.
const TRIED: usize = 1_031;
/// How far a rewritten graph's scores may be from the original's, relatively: rounding, no more.
///
/// The windows tried are synthetic. A brought model may expect values of quite another size, and
/// then sums cancel and magnify rounding: the peer benchmark's model differs by 1.5e-5 on them and
/// by 4e-7 on its own data.
pub const REWRITE_TOLERANCE: f64 = 1e-4;
const MODEL: &str = "model.onnx";
const INFO: &str = "info.json";
/// Members of `extra` that would overwrite what the registry writes itself.
const RESERVED: [&str; 2] = ["info", "card"];

/// What is kept of a version besides its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The model's description.
    pub info: ModelInfo,
    /// SHA-256 of `model.onnx`, hex.
    pub sha256: String,
    /// Size of `model.onnx`.
    pub bytes: u64,
    /// Which outputs hold what.
    pub outputs: OutputNames,
    /// Values a row in each input.
    pub inputs: InputShapes,
    /// Whether its scores depend on the batch.
    pub invariance: Invariance,
    /// Whether its graph is rewritten while it is loaded.
    pub rewrite: bool,
    /// The largest relative difference that rewriting made to a score when tried.
    pub rewrite_difference: f64,
}

impl Entry {
    /// How to run it; `options` decides what is not the registry's business.
    #[must_use]
    pub fn scorer_options(&self, options: &ScorerOptions) -> ScorerOptions {
        ScorerOptions {
            outputs: Some(self.outputs.clone()),
            rewrite: self.rewrite && options.rewrite,
            scheme: self.invariance.scheme,
            ..options.clone()
        }
    }
}

/// An ONNX file made elsewhere, and what it cannot say of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct BroughtModel {
    /// Steps of its windows; 1 for feature vectors.
    pub steps: usize,
    /// Names of its channels (of its features, for a vector model), in order.
    pub channels: Vec<String>,
    /// Names of its outputs; found by [`OutputNames::among`] if `None`.
    pub outputs: Option<OutputNames>,
    /// Calibration scores at evenly spaced quantiles; empty without calibration.
    pub score_quantiles: Vec<f32>,
}

/// One thing looked at by [`Registry::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// Whether it is as it should be.
    pub passed: bool,
    /// What was found.
    pub detail: String,
}

/// The directory of models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    root: PathBuf,
}

impl Registry {
    /// The registry in a directory, made if missing.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(|error| file(&root, error))?;
        Ok(Self { root })
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of a version, whether it exists or not.
    #[must_use]
    pub fn directory(&self, id: &ModelId) -> PathBuf {
        self.root.join(&id.name).join(&id.version)
    }

    /// Registers a model under a name, after trying it; the id in `info` is replaced by its own.
    ///
    /// Each member of `extra`, an object, becomes a file `<member>.json` of the version
    /// (`specification`, `report`, ...).
    ///
    /// # Errors
    /// [`Error::Configuration`] for a name or member that cannot be a file's; [`Error::Model`] when
    /// the file does not fit `info`, or the version exists and is damaged; [`Error::Runtime`],
    /// [`Error::File`].
    pub fn register(
        &self,
        name: &str,
        onnx: &[u8],
        info: ModelInfo,
        extra: Value,
    ) -> Result<ModelId> {
        self.register_with(name, onnx, info, &extra, None)
    }

    /// Registers a model file that describes itself (one of our own, see [`crate::onnx`]).
    ///
    /// # Errors
    /// As [`Registry::register`]; also [`Error::Model`] when it holds no description.
    pub fn register_described(&self, name: &str, onnx: &[u8], extra: Value) -> Result<ModelId> {
        let info = metadata::model_info(onnx, "")?;
        self.register(name, onnx, info, extra)
    }

    /// Registers any ONNX file whose inputs are `window` and/or `features` and which has a score.
    ///
    /// # Errors
    /// As [`Registry::register`].
    pub fn register_onnx(&self, path: &Path, name: &str, brought: BroughtModel) -> Result<ModelId> {
        let onnx = fs::read(path).map_err(|error| file(path, error))?;
        let info = ModelInfo {
            id: id_of(name, &digest(&onnx)),
            channels: brought.channels,
            steps: brought.steps,
            latents: 0,
            weights: None,
            score_quantiles: brought.score_quantiles,
            channel_mean: Vec::new(),
            channel_std: Vec::new(),
            entities: vec![],
        };
        let id = self.register_with(name, &onnx, info, &Value::Null, brought.outputs)?;
        let entry = self.show(&id.to_string())?;
        let mut card = ModelCard::new(entry.info, "onnx");
        card.invariance = Some(entry.invariance);
        self.write_card(&card)?;
        Ok(id)
    }

    fn register_with(
        &self,
        name: &str,
        onnx: &[u8],
        info: ModelInfo,
        extra: &Value,
        outputs: Option<OutputNames>,
    ) -> Result<ModelId> {
        check_name(name)?;
        let extra = extra_files(extra)?;
        let sha256 = digest(onnx);
        let id = id_of(name, &sha256);
        let place = self.directory(&id);
        if place.exists() {
            self.load(&id)?;
            return Ok(id);
        }
        let info = ModelInfo { id: id.clone(), ..info };
        let entry = tried(onnx, info, sha256, outputs)?;
        let directory = self.root.join(name);
        fs::create_dir_all(&directory).map_err(|error| file(&directory, error))?;
        let beside = directory.join(temporary(&id.version));
        fs::create_dir(&beside).map_err(|error| file(&beside, error))?;
        let written = (|| {
            write(&beside.join(MODEL), onnx)?;
            write(&beside.join(INFO), json(&entry)?.as_bytes())?;
            for (member, value) in &extra {
                write(&beside.join(format!("{member}.json")), json(value)?.as_bytes())?;
            }
            flush_directory(&beside)?;
            match fs::rename(&beside, &place) {
                // Another process was faster with the same bytes.
                Err(_) if place.exists() => self.load(&id).map(drop),
                other => other.map_err(|error| file(&place, error)),
            }
        })();
        if beside.exists() {
            fs::remove_dir_all(&beside).map_err(|error| file(&beside, error))?;
        }
        written?;
        flush_directory(&directory)?;
        flush_directory(&self.root)?;
        tracing::info!(model = %id, bytes = onnx.len(), "model registered");
        Ok(id)
    }

    /// Every version, by name and version.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Model`] naming an `info.json` that cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>> {
        self.ids()?.iter().map(|id| self.entry(id)).collect()
    }

    /// A version by `name`, `name@version`, or either with a unique beginning of the version.
    ///
    /// # Errors
    /// [`Error::Configuration`] when none or several fit, listing what there is.
    pub fn show(&self, reference: &str) -> Result<Entry> {
        self.entry(&self.resolve(reference)?)
    }

    /// The id that a reference means; see [`Registry::show`].
    ///
    /// # Errors
    /// As [`Registry::show`].
    pub fn resolve(&self, reference: &str) -> Result<ModelId> {
        let ids = self.ids()?;
        let (name, version) = reference.split_once('@').unwrap_or((reference, ""));
        let mut fits: Vec<&ModelId> =
            ids.iter().filter(|id| id.name == name && id.version.starts_with(version)).collect();
        if fits.is_empty() && !reference.contains('@') {
            fits = ids.iter().filter(|id| id.version.starts_with(reference)).collect();
        }
        match fits[..] {
            [id] => Ok(id.clone()),
            [] => Err(Error::Configuration(format!(
                "no model `{reference}` in {}; there {}",
                self.root.display(),
                listed(ids.iter())
            ))),
            _ => Err(Error::Configuration(format!(
                "model `{reference}` is ambiguous: there {}",
                listed(fits.into_iter())
            ))),
        }
    }

    /// The bytes of a version's model file, whose hash is checked.
    ///
    /// # Errors
    /// [`Error::Model`] naming the file when its hash is not its version's; it is left as it is.
    pub fn load(&self, id: &ModelId) -> Result<Vec<u8>> {
        let path = self.directory(id).join(MODEL);
        let onnx = fs::read(&path).map_err(|error| file(&path, error))?;
        let found = id_of(&id.name, &digest(&onnx));
        if found != *id {
            return Err(Error::Model {
                model: path.display().to_string(),
                reason: format!(
                    "its content hashes to {}, not {}: it is damaged; restore it from a copy, or \
                     remove the directory and register the model again",
                    found.version, id.version
                ),
            });
        }
        Ok(onnx)
    }

    /// A scorer of a version.
    ///
    /// # Errors
    /// Those of [`Registry::load`], [`Registry::show`] and [`OrtScorer::new`].
    pub fn scorer(&self, id: &ModelId, options: &ScorerOptions) -> Result<OrtScorer> {
        let entry = self.entry(id)?;
        let options = entry.scorer_options(options);
        OrtScorer::new(&self.load(id)?, entry.info, &options)
    }

    /// Looks a version over: hash, that it loads and fits its description, batch invariance, and
    /// that it still scores as when it was registered.
    ///
    /// # Errors
    /// [`Error::File`] when the version cannot be read at all; what is wrong with it is a check.
    pub fn verify(&self, id: &ModelId) -> Result<Vec<Check>> {
        let entry = self.entry(id)?;
        let check = |name: &str, outcome: std::result::Result<String, String>| Check {
            name: name.to_owned(),
            passed: outcome.is_ok(),
            detail: outcome.unwrap_or_else(|detail| detail),
        };
        let onnx = match self.load(id) {
            Ok(onnx) => onnx,
            Err(error) => return Ok(vec![check("hash", Err(error.to_string()))]),
        };
        let mut checks = vec![
            check("hash", Ok(format!("SHA-256 {}", entry.sha256))),
            check("metadata", metadata(&entry, id)),
        ];
        match tried(&onnx, entry.info.clone(), entry.sha256.clone(), Some(entry.outputs.clone())) {
            Err(error) => checks.push(check("loads", Err(error.to_string()))),
            Ok(now) => {
                checks.push(check("loads", Ok("in ONNX Runtime, inputs and outputs fit".into())));
                checks.push(check("batch invariance", batch_invariance(&entry, &now)));
                let difference = format!("{:.1e} relative at most", now.rewrite_difference);
                let same = now.rewrite == entry.rewrite;
                checks.push(check(
                    "rewritten graph",
                    if same { Ok(difference) } else { Err(difference) },
                ));
            }
        }
        Ok(checks)
    }

    /// Writes a version's card, in place of an earlier one.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the version does not exist; [`Error::File`].
    pub fn write_card(&self, card: &ModelCard) -> Result<()> {
        let directory = self.directory(&self.resolve(&card.info.id.to_string())?);
        let text = card.json().map_err(|error| Error::Configuration(error.to_string()))?;
        let mut files = vec![("card.json", text), ("card.md", card.markdown())];
        files.extend(card.svg().map(|svg| ("card.svg", svg)));
        for (name, text) in files {
            let beside = directory.join(temporary(name));
            write(&beside, text.as_bytes())?;
            let place = directory.join(name);
            fs::rename(&beside, &place).map_err(|error| file(&place, error))?;
        }
        flush_directory(&directory)
    }

    /// A file that came with a version as a member of `extra`; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Model`] when it is no JSON.
    pub fn extra(&self, id: &ModelId, member: &str) -> Result<Option<Value>> {
        let path = self.directory(id).join(format!("{member}.json"));
        if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
    }

    fn entry(&self, id: &ModelId) -> Result<Entry> {
        read_json(&self.directory(id).join(INFO))
    }

    fn ids(&self) -> Result<Vec<ModelId>> {
        let mut ids = Vec::new();
        for name in directories(&self.root)? {
            for version in directories(&self.root.join(&name))? {
                ids.push(ModelId { name: name.clone(), version });
            }
        }
        ids.sort();
        Ok(ids)
    }
}

/// Makes each worker's scorers from the registry.
#[must_use]
pub fn scorer_factory(registry: &Registry, options: ScorerOptions) -> ScorerFactory {
    let registry = registry.clone();
    Arc::new(move |id| match registry.scorer(id, &options) {
        Ok(scorer) => Ok(Box::new(scorer) as Box<dyn Scorer>),
        Err(error) => Err(cloudops_operators::Error::Model {
            model: id.to_string(),
            reason: error.to_string(),
        }),
    })
}

/// Loads a model, tries it, and settles how it is to be run.
fn tried(
    onnx: &[u8],
    info: ModelInfo,
    sha256: String,
    outputs: Option<OutputNames>,
) -> Result<Entry> {
    let options = ScorerOptions { outputs, rewrite: false, ..ScorerOptions::default() };
    let mut original = OrtScorer::new(onnx, info.clone(), &options)?;
    let rewriting = ScorerOptions { rewrite: true, ..options };
    let mut rewritten = OrtScorer::new(onnx, info.clone(), &rewriting)?;
    let sample = original.sample(TRIED)?;
    let (inputs, outputs) = (original.input_shapes(), original.output_names());
    let difference =
        invariance::largest_difference(&rewritten.score(&sample)?, &original.score(&sample)?);
    let rewrite = rewritten.is_rewritten() && difference <= REWRITE_TOLERANCE;
    let chosen = if rewrite { &mut rewritten } else { &mut original };
    let invariance = chosen.verify_batch_invariance(&sample)?;
    if invariance.scheme != Scheme::Tiles {
        tracing::warn!(
            model = %info.id, scheme = ?invariance.scheme, varying = ?invariance.varying,
            "bits of this model depend on the batch: it is scored in a slower scheme"
        );
    }
    Ok(Entry {
        info,
        sha256,
        bytes: onnx.len() as u64,
        outputs,
        inputs,
        invariance,
        rewrite,
        rewrite_difference: difference,
    })
}

fn metadata(entry: &Entry, id: &ModelId) -> std::result::Result<String, String> {
    let info = &entry.info;
    let (channels, quantiles) = (info.channels.len(), &info.score_quantiles);
    if info.id != *id {
        return Err(format!("{INFO} describes {}", info.id));
    }
    if !quantiles.is_sorted() {
        return Err("calibration quantiles do not ascend".into());
    }
    for (what, values) in [("mean", &info.channel_mean), ("std", &info.channel_std)] {
        if !values.is_empty() && values.len() != channels {
            return Err(format!(
                "{} values of channel_{what} for {channels} channels",
                values.len()
            ));
        }
    }
    Ok(format!("{} steps, {channels} channels, {} quantiles", info.steps, quantiles.len()))
}

fn batch_invariance(then: &Entry, now: &Entry) -> std::result::Result<String, String> {
    let found = &now.invariance;
    let text = match found.holds() {
        true => format!("the same bits in every batch ({} windows)", found.rows),
        false => format!("varies: {:?}; scored as {:?}", found.varying, then.invariance.scheme),
    };
    // A processor on which the recorded scheme is not enough is what this check is for.
    let enough = found.scheme == then.invariance.scheme
        || found.scheme == Scheme::Tiles
        || then.invariance.scheme == Scheme::Rows;
    if enough { Ok(text) } else { Err(text) }
}

fn extra_files(extra: &Value) -> Result<Vec<(String, Value)>> {
    let members = match extra {
        Value::Null => return Ok(Vec::new()),
        Value::Object(members) => members,
        _ => return Err(Error::Configuration("extra must be an object".into())),
    };
    for member in members.keys() {
        check_name(member)?;
        if RESERVED.contains(&member.as_str()) {
            return Err(Error::Configuration(format!("extra may not be called `{member}`")));
        }
    }
    Ok(members.iter().map(|(member, value)| (member.clone(), value.clone())).collect())
}

/// Letters, digits, `-`, `_`, `.`; no leading dot: what is a directory's name everywhere.
fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(allowed) {
        return Err(Error::Configuration(format!(
            "name `{name}`: use letters, digits, `-`, `_` and `.`, at most 100 of them"
        )));
    }
    Ok(())
}

/// SHA-256, hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A model's id by the hash of its file.
pub(crate) fn id_of(name: &str, sha256: &str) -> ModelId {
    ModelId { name: name.to_owned(), version: sha256[..16].to_owned() }
}

fn listed<'a>(ids: impl Iterator<Item = &'a ModelId>) -> String {
    let ids: Vec<String> = ids.map(ToString::to_string).collect();
    if ids.is_empty() { "are none".into() } else { format!("are {}", ids.join(", ")) }
}

/// A name beside the final one, unlike that of any other writer; a leading dot hides it from lists.
fn temporary(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(".{name}.{}-{count}", std::process::id())
}

fn directories(path: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| file(path, error))? {
        let entry = entry.map_err(|error| file(path, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_dir() {
            names.push(name);
        }
    }
    Ok(names)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut out = File::create(path).map_err(|error| file(path, error))?;
    out.write_all(bytes).and_then(|()| out.sync_all()).map_err(|error| file(path, error))
}

/// A rename is durable once its directory is flushed; systems that cannot flush one do not need it.
fn flush_directory(path: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(path).and_then(|dir| dir.sync_all()).map_err(|error| file(path, error))?;
    }
    Ok(())
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| Error::Configuration(format!("no JSON: {error}")))
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let text = fs::read(path).map_err(|error| file(path, error))?;
    serde_json::from_slice(&text).map_err(|error| Error::Model {
        model: path.display().to_string(),
        reason: format!("unreadable: {error}"),
    })
}

fn file(path: &Path, source: std::io::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}
