//! Scoring window batches with ONNX Runtime.
//!
//! One [`OrtScorer`] holds one session and lives on one worker: a session's
//! `run` is exclusive, and a pool of the runtime's own threads would fight the
//! workers for the same cores. A batch is read in place from its Arrow
//! columns, in tiles small enough for the intermediate values to stay in the
//! core's cache.
//!
//! A row's scores are its own, to the bit, whatever batch it travels in:
//! `rewrite` removes the known causes to the contrary, `invariance`
//! measures what is left, and the [`Scheme`] found is the one scored in.
//!
//! Denormals are *not* flushed: the runtime's switch changes the mode of the
//! thread that makes the first session, and with it the arithmetic of every
//! other operator on that worker.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use cloudops_operators::schema::result::{FEATURES, WINDOW};
use cloudops_operators::schema::{column, mismatch, vectors};
use cloudops_operators::score::{ModelId, ModelInfo, Scorer, Scores};
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{Outlet, TensorRef, ValueType};
use serde::{Deserialize, Serialize};

use crate::onnx::metadata;
use crate::{Error, Result, runtime};

pub mod invariance;
mod rewrite;
mod wire;

pub use invariance::{Invariance, Scheme};

/// Rows of a tile unless configured. Measured on convolutional models of about 30 × 14 windows:
/// from 64 to 512 rows the cost of a window is within 5 %, below and above it rises.
pub const TILE: usize = 128;

/// Which outputs of a graph hold which part of the scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputNames {
    /// `[n]` or `[n, 1]`: the score.
    pub score: String,
    /// `[n]`: the reconstruction error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconstruction_error: Option<String>,
    /// `[n]`: the KL divergence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl: Option<String>,
    /// `[n, latents]`: the latent mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mu: Option<String>,
    /// `[n, channels]`: each channel's part of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_by_channel: Option<String>,
    /// `[n, steps]`: each step's part of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_by_step: Option<String>,
}

impl OutputNames {
    /// The outputs of a graph that bear a name known here: that of a field of this type, or
    /// `channel_error`, `step_error`, `latent`.
    ///
    /// # Errors
    /// [`Error::Configuration`] when none is called `score`.
    pub fn among<S: AsRef<str>>(outputs: &[S]) -> Result<Self> {
        let find = |names: &[&str]| {
            let named = |output: &&S| names.contains(&output.as_ref());
            outputs.iter().find(named).map(|output| output.as_ref().to_owned())
        };
        Ok(Self {
            score: find(&["score"]).ok_or_else(|| {
                let outputs: Vec<&str> = outputs.iter().map(AsRef::as_ref).collect();
                Error::Configuration(format!(
                    "no output is called `score`; name the one that is among {}",
                    outputs.join(", ")
                ))
            })?,
            reconstruction_error: find(&["reconstruction_error"]),
            kl: find(&["kl"]),
            mu: find(&["mu", "latent"]),
            error_by_channel: find(&["error_by_channel", "channel_error"]),
            error_by_step: find(&["error_by_step", "step_error"]),
        })
    }

    fn parts(&self) -> impl Iterator<Item = (Part, &str)> {
        [
            (Part::Score, Some(&self.score)),
            (Part::ReconstructionError, self.reconstruction_error.as_ref()),
            (Part::Kl, self.kl.as_ref()),
            (Part::Latent, self.mu.as_ref()),
            (Part::ChannelError, self.error_by_channel.as_ref()),
            (Part::StepError, self.error_by_step.as_ref()),
        ]
        .into_iter()
        .filter_map(|(part, name)| Some((part, name?.as_str())))
    }
}

/// How many rows go to the runtime at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tile {
    /// What suits the scheme: [`TILE`], or less where tiles must be full.
    #[default]
    Auto,
    /// This many.
    Fixed(usize),
}

/// How a model is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScorerOptions {
    /// Names of its outputs; found by [`OutputNames::among`] if `None`.
    pub outputs: Option<OutputNames>,
    /// Rows of a tile; has no effect on a score.
    pub tile: Tile,
    /// Whether errors by step are wanted; left out of the graph if not.
    pub step_errors: bool,
    /// Whether latents are wanted; left out of the graph if not.
    pub latents: bool,
    /// Whether the graph may be rewritten while it is loaded (see `rewrite`). Changes the score in
    /// its last digits, so it is part of what makes a run repeatable.
    pub rewrite: bool,
    /// In which scheme the model's bits are known not to depend on the batch.
    pub scheme: Scheme,
}

impl Default for ScorerOptions {
    fn default() -> Self {
        Self {
            outputs: None,
            tile: Tile::Auto,
            step_errors: true,
            latents: true,
            rewrite: true,
            scheme: Scheme::Tiles,
        }
    }
}

/// Values a row in each input of a graph; `None` where it has no such input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputShapes {
    /// Steps times channels.
    pub window: Option<usize>,
    /// Length of the feature vector.
    pub features: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Score,
    ReconstructionError,
    Kl,
    Latent,
    ChannelError,
    StepError,
}

impl Part {
    /// Values a row; `None` where only the graph knows.
    fn width(self, info: &ModelInfo) -> Option<usize> {
        match self {
            Self::Score | Self::ReconstructionError | Self::Kl => Some(1),
            Self::ChannelError => Some(info.channels.len()),
            Self::StepError => Some(info.steps),
            Self::Latent => None,
        }
    }
}

/// One input: the column and the graph's input of the same name, and the dimensions after the batch.
#[derive(Debug)]
struct Input {
    name: &'static str,
    dims: Vec<usize>,
}

impl Input {
    fn width(&self) -> usize {
        self.dims.iter().product()
    }
}

/// A model in ONNX Runtime.
pub struct OrtScorer {
    session: Session,
    selected: RunOptions<HasSelectedOutputs>,
    info: ModelInfo,
    inputs: Vec<Input>,
    outputs: Vec<(Part, String)>,
    scheme: Scheme,
    tile: usize,
    /// The graph's own batch size, where it is not free.
    fixed_batch: Option<usize>,
    rewritten: bool,
}

impl std::fmt::Debug for OrtScorer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrtScorer")
            .field("id", &self.info.id)
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .field("scheme", &self.scheme)
            .field("tile", &self.tile)
            .field("rewritten", &self.rewritten)
            .finish_non_exhaustive()
    }
}

impl OrtScorer {
    /// A scorer of a model file.
    ///
    /// # Errors
    /// [`Error::Runtime`] when the library cannot be loaded; [`Error::Model`] when the file is no
    /// model, or its inputs and outputs do not fit `info`; [`Error::Configuration`] when an output
    /// is named that it lacks.
    pub fn new(onnx: &[u8], info: ModelInfo, options: &ScorerOptions) -> Result<Self> {
        // First, so that a missing library is not taken for an unfit model.
        runtime::init(None)?;
        let probe = &Probe::of(onnx).map_err(|reason| unfit(&info.id, reason))?;
        let names = match &options.outputs {
            Some(names) => names.clone(),
            None => OutputNames::among(&probe.outputs)?,
        };
        if let Some((_, missing)) =
            names.parts().find(|(_, name)| !probe.outputs.iter().any(|output| output == name))
        {
            return Err(Error::Configuration(format!(
                "model {}: no output `{missing}` among {}",
                info.id,
                probe.outputs.join(", ")
            )));
        }
        let wanted = |part: Part| match part {
            Part::StepError => options.step_errors,
            Part::Latent => options.latents,
            _ => true,
        };
        let outputs: Vec<(Part, String)> = (names.parts())
            .filter(|(part, _)| wanted(*part))
            .map(|(part, name)| (part, name.to_owned()))
            .collect();
        let (inputs, fixed_batch) =
            inputs(&info, probe).map_err(|reason| unfit(&info.id, reason))?;
        let (session, rewritten) = session_for(onnx, &outputs, options.rewrite, probe)
            .map_err(|error| unfit(&info.id, error.to_string()))?;
        let selector = outputs
            .iter()
            .fold(OutputSelector::no_default(), |selector, (_, name)| selector.with(name));
        let selected = RunOptions::new().map_err(|error| Error::Runtime(error.to_string()))?;
        // A fixed batch size leaves only full tiles of it.
        let scheme = match (options.scheme, fixed_batch) {
            (Scheme::Tiles, Some(_)) => Scheme::FullTiles,
            (scheme, _) => scheme,
        };
        let tile = match (options.tile, scheme) {
            (Tile::Fixed(rows), Scheme::Tiles) => rows.max(1),
            (Tile::Auto, Scheme::Tiles) => TILE,
            // The size that was tried is the size that holds.
            (_, Scheme::FullTiles | Scheme::Rows) => invariance::FULL_TILE,
        };
        let selected = selected.with_outputs(selector);
        Ok(Self { session, selected, info, inputs, outputs, scheme, tile, fixed_batch, rewritten })
    }

    /// A scorer of a model file that describes itself: one of our own (see [`crate::onnx`]).
    ///
    /// # Errors
    /// As [`OrtScorer::new`]; also [`Error::Model`] when the file holds no description.
    pub fn open(onnx: &[u8], id: ModelId, options: &ScorerOptions) -> Result<Self> {
        let info = metadata::model_info(onnx, &id.version)?;
        Self::new(onnx, ModelInfo { id, ..info }, options)
    }

    /// What its inputs hold a row.
    #[must_use]
    pub fn input_shapes(&self) -> InputShapes {
        let width = |name: &str| self.inputs.iter().find(|i| i.name == name).map(Input::width);
        InputShapes { window: width(WINDOW), features: width(FEATURES) }
    }

    /// Which of its outputs hold what, among those that are asked for.
    #[must_use]
    pub fn output_names(&self) -> OutputNames {
        let name = |part: Part| {
            self.outputs.iter().find(|(of, _)| *of == part).map(|(_, name)| name.clone())
        };
        OutputNames {
            score: name(Part::Score).expect("a scorer has a score"),
            reconstruction_error: name(Part::ReconstructionError),
            kl: name(Part::Kl),
            mu: name(Part::Latent),
            error_by_channel: name(Part::ChannelError),
            error_by_step: name(Part::StepError),
        }
    }

    /// Whether the graph was rewritten while it was loaded.
    #[must_use]
    pub fn is_rewritten(&self) -> bool {
        self.rewritten
    }

    /// The scheme it scores in.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Windows to try this model on, always the same for the same model.
    ///
    /// # Errors
    /// None is expected: the columns are made to fit.
    pub fn sample(&self, rows: usize) -> Result<RecordBatch> {
        invariance::sample(&self.info, self.input_shapes(), rows)
    }

    /// Whether scores depend on the batch, tried on `sample` in many batch sizes, orders and offsets.
    ///
    /// # Errors
    /// Those of [`Scorer::score`].
    pub fn verify_batch_invariance(&mut self, sample: &RecordBatch) -> Result<Invariance> {
        invariance::measure(self, sample)
    }

    /// The scores as the runtime gives them, which may overflow.
    fn raw_scores(&mut self, windows: &RecordBatch) -> Result<Scores> {
        let mut values = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let found = column(windows, input.name)?;
            let (slice, width) = vectors(windows, input.name)?;
            if width != input.width() || invariance::has_nulls(found) {
                let expected = format!("vectors of {} without nulls", input.width());
                return Err(mismatch(input.name, &expected, found).into());
            }
            values.push(slice);
        }
        let rows = windows.num_rows();
        let mut scores = Scores::default();
        for (part, _) in &self.outputs {
            let width = part.width(&self.info).unwrap_or(0);
            target(&mut scores, *part).reserve_exact(rows * width);
        }
        let tile = match (self.scheme, self.fixed_batch) {
            (Scheme::Tiles, _) => self.tile,
            (Scheme::FullTiles, None) => self.tile,
            (Scheme::Rows, None) => 1,
            (Scheme::FullTiles | Scheme::Rows, Some(batch)) => batch,
        };
        // Rows of a tile that are the caller's own; a fixed batch run row by row is all copies of it.
        let own = if self.scheme == Scheme::Rows { 1 } else { tile };
        let mut filled = Vec::new();
        for from in (0..rows).step_by(own) {
            let count = own.min(rows - from);
            if self.scheme == Scheme::Tiles || count == tile {
                let parts: Vec<&[f32]> = (self.inputs.iter().zip(&values))
                    .map(|(input, all)| &all[from * input.width()..(from + count) * input.width()])
                    .collect();
                self.run(&parts, count, count, &mut scores)?;
            } else {
                filled.clear();
                for (input, all) in self.inputs.iter().zip(&values) {
                    let width = input.width();
                    let mut block = all[from * width..(from + count) * width].to_vec();
                    let last = block[(count - 1) * width..].to_vec();
                    (count..tile).for_each(|_| block.extend_from_slice(&last));
                    filled.push(block);
                }
                let parts: Vec<&[f32]> = filled.iter().map(Vec::as_slice).collect();
                self.run(&parts, tile, count, &mut scores)?;
            }
        }
        Ok(scores)
    }

    /// Runs one tile of `rows` rows and appends the first `keep` of its results.
    fn run(
        &mut self,
        parts: &[&[f32]],
        rows: usize,
        keep: usize,
        scores: &mut Scores,
    ) -> Result<()> {
        let failed = |error: String| {
            Error::Operator(cloudops_operators::Error::Model {
                model: self.info.id.to_string(),
                reason: error,
            })
        };
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(parts.len());
        for (input, values) in self.inputs.iter().zip(parts) {
            let mut dims = Vec::with_capacity(4);
            dims.push(rows);
            dims.extend_from_slice(&input.dims);
            let tensor = TensorRef::from_array_view((dims, *values))
                .map_err(|error| failed(error.to_string()))?;
            inputs.push((input.name, tensor.into()));
        }
        let results = self
            .session
            .run_with_options(inputs, &self.selected)
            .map_err(|error| failed(error.to_string()))?;
        for (part, name) in &self.outputs {
            let value = results.get(name).ok_or_else(|| failed(format!("no output `{name}`")))?;
            let (shape, values) =
                value.try_extract_tensor::<f32>().map_err(|error| failed(error.to_string()))?;
            let expected = part.width(&self.info);
            let width = values.len() / rows;
            if values.len() % rows != 0 || expected.is_some_and(|expected| expected != width) {
                return Err(failed(format!(
                    "output `{name}` is {:?} for {rows} windows, not {} a window",
                    &**shape,
                    expected.unwrap_or(1)
                )));
            }
            target(scores, *part).extend_from_slice(&values[..keep * width]);
        }
        Ok(())
    }
}

impl Scorer for OrtScorer {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Windows are finite, but their squares need not be: what overflows (or is not a number after
    /// an overflow) is the largest finite value, so that it compares as the strangest of all.
    fn score(&mut self, windows: &RecordBatch) -> cloudops_operators::Result<Scores> {
        let mut scores = self.raw_scores(windows).map_err(|error| match error {
            Error::Operator(error) => error,
            other => cloudops_operators::Error::Model {
                model: self.info.id.to_string(),
                reason: other.to_string(),
            },
        })?;
        let rows = windows.num_rows().max(1);
        for (part, _) in &self.outputs {
            let values = target(&mut scores, *part);
            // The parts of a vector must still add up to something finite.
            let most = f32::MAX / (values.len() / rows).max(1) as f32;
            for value in values.iter_mut().filter(|value| !value.is_finite()) {
                *value = most;
            }
        }
        Ok(scores)
    }
}

fn target(scores: &mut Scores, part: Part) -> &mut Vec<f32> {
    match part {
        Part::Score => &mut scores.score,
        Part::ReconstructionError => &mut scores.reconstruction_error,
        Part::Kl => &mut scores.kl,
        Part::Latent => &mut scores.latent,
        Part::ChannelError => &mut scores.channel_error,
        Part::StepError => &mut scores.step_error,
    }
}

fn unfit(id: &ModelId, reason: impl Into<String>) -> Error {
    Error::Model { model: id.to_string(), reason: reason.into() }
}

/// What a model file says of itself, read once without optimising it.
struct Probe {
    inputs: Vec<(String, Vec<i64>)>,
    outputs: Vec<String>,
    shapes: rewrite::Shapes,
}

impl Probe {
    fn of(onnx: &[u8]) -> std::result::Result<Self, String> {
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

fn session(onnx: &[u8], level: GraphOptimizationLevel) -> Result<Session> {
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
fn session_for(
    onnx: &[u8],
    outputs: &[(Part, String)],
    may_rewrite: bool,
    probe: &Probe,
) -> Result<(Session, bool)> {
    let names: Vec<&str> = outputs.iter().map(|(_, name)| name.as_str()).collect();
    let better = may_rewrite.then(|| rewrite::rewritten(onnx, &names, &probe.shapes)).flatten();
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

type Inputs = (Vec<Input>, Option<usize>);

/// Matches the graph's inputs to window columns.
fn inputs(info: &ModelInfo, probe: &Probe) -> std::result::Result<Inputs, String> {
    let mut fixed_batch = None;
    let mut inputs = Vec::new();
    let channels = info.channels.len();
    for (name, dims) in &probe.inputs {
        let Some((&batch, rest)) = dims.split_first() else {
            return Err(format!("input `{name}` has no batch dimension"));
        };
        if batch > 0 {
            fixed_batch = Some(batch as usize);
        }
        let fits = |wanted: &[usize]| {
            rest.len() == wanted.len()
                && rest.iter().zip(wanted).all(|(have, want)| *have < 0 || *have == *want as i64)
        };
        let (name, wanted) = match name.as_str() {
            WINDOW => (
                WINDOW,
                [vec![info.steps, channels], vec![info.steps * channels]]
                    .into_iter()
                    .find(|wanted| fits(wanted))
                    .ok_or_else(|| {
                        format!("input `{WINDOW}` is {dims:?}, not [n, {}, {channels}]", info.steps)
                    })?,
            ),
            FEATURES => match rest {
                // Beside a window the features may be any vector; alone they are the channels.
                [length] if *length > 0 && (probe.inputs.len() > 1 || fits(&[channels])) => {
                    (FEATURES, vec![*length as usize])
                }
                [length] if *length <= 0 && probe.inputs.len() == 1 => (FEATURES, vec![channels]),
                _ => return Err(format!("input `{FEATURES}` is {dims:?}, not [n, {channels}]")),
            },
            other => {
                return Err(format!(
                    "input `{other}` is unknown: inputs are `{WINDOW}` [n, steps, channels] and \
                     `{FEATURES}` [n, length]"
                ));
            }
        };
        inputs.push(Input { name, dims: wanted });
    }
    if inputs.is_empty() {
        return Err(format!("it has neither an input `{WINDOW}` nor `{FEATURES}`"));
    }
    Ok((inputs, fixed_batch))
}
