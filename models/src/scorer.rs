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
//! Where windows overlap, `overlap` runs a convolutional encoder once over the steps they share.
//!
//! Denormals are *not* flushed: the runtime's switch changes the mode of the
//! thread that makes the first session, and with it the arithmetic of every
//! other operator on that worker.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use cloudops_operators::schema::result::{FEATURES, WINDOW};
use cloudops_operators::schema::{ENTITY_ID, column, mismatch, texts, vectors};
use cloudops_operators::score::{ModelId, ModelInfo, Scorer, Scores};

use crate::onnx::{ENTITY, metadata};
use crate::{Error, Result, runtime};

mod forest;
pub mod invariance;
mod options;
mod overlap;
mod rewrite;
mod run;
mod session;
mod split;
mod wire;

pub use forest::{ForestScorer, ForestScores};
pub use invariance::{Invariance, Scheme};
pub use options::{InputShapes, OutputNames, ScorerOptions, TILE, Tile};
use overlap::Overlap;
use run::{Input, Part, Runner};
use session::{Probe, session_for};

/// A session of a file as it is, for graphs that score no windows.
///
/// # Errors
/// [`Error::Runtime`] when the library cannot be loaded or refuses the file.
pub(crate) fn plain_session(onnx: &[u8]) -> Result<ort::session::Session> {
    runtime::init(None)?;
    session::session(onnx, ort::session::builder::GraphOptimizationLevel::All)
}

/// A model in ONNX Runtime.
pub struct OrtScorer {
    whole: Runner,
    overlap: Option<Overlap>,
    info: ModelInfo,
    /// By name, the number of each entity that the model knows, from 1 on.
    entities: HashMap<String, f32>,
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
            .field("inputs", &self.whole.inputs)
            .field("outputs", &self.whole.outputs)
            .field("overlap", &self.overlap)
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
        let wanted: Vec<&str> = outputs.iter().map(|(_, name)| name.as_str()).collect();
        let (session, rewritten) = session_for(onnx, &wanted, options.rewrite, probe)
            .map_err(|error| unfit(&info.id, error.to_string()))?;
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
        let whole = Runner::new(session, inputs, outputs)?;
        let numbered = info.entities.iter().zip(1_u32..);
        let entities = numbered.map(|(name, at)| (name.clone(), at as f32)).collect();
        let mut scorer =
            Self { whole, overlap: None, info, entities, scheme, tile, fixed_batch, rewritten };
        if let (Some(hop), Scheme::Tiles) = (options.hop, scheme) {
            scorer.overlap = overlap::tried(&mut scorer, onnx, hop, options.rewrite, probe);
        }
        Ok(scorer)
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
        let width =
            |name: &str| self.whole.inputs.iter().find(|i| i.name == name).map(Input::width);
        InputShapes { window: width(WINDOW), features: width(FEATURES) }
    }

    /// Which of its outputs hold what, among those that are asked for.
    #[must_use]
    pub fn output_names(&self) -> OutputNames {
        let name = |part: Part| {
            self.whole.outputs.iter().find(|(of, _)| *of == part).map(|(_, name)| name.clone())
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

    /// Whether what a convolution says of overlapping windows is computed once.
    #[must_use]
    pub fn shares_overlap(&self) -> bool {
        self.overlap.is_some()
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

    /// Which of the entities that the model knows each row's is, from 1 on; else 0.
    fn numbers(&self, windows: &RecordBatch) -> Result<Vec<f32>> {
        let entities = texts(windows, ENTITY_ID)?;
        let number = |entity: &str| self.entities.get(entity).copied().unwrap_or(0.0);
        Ok((0..windows.num_rows()).map(|row| number(entities.value(row))).collect())
    }

    /// The scores as the runtime gives them, which may overflow.
    fn raw_scores(&mut self, windows: &RecordBatch) -> Result<Scores> {
        let mut values = Vec::with_capacity(self.whole.inputs.len());
        let numbers = self.whole.inputs.iter().any(|input| input.name == ENTITY);
        let numbers = if numbers { self.numbers(windows)? } else { Vec::new() };
        for input in &self.whole.inputs {
            if input.name == ENTITY {
                values.push(&numbers[..]);
                continue;
            }
            let found = column(windows, &input.name)?;
            let (slice, width) = vectors(windows, &input.name)?;
            if width != input.width() || invariance::has_nulls(found) {
                let expected = format!("vectors of {} without nulls", input.width());
                return Err(mismatch(&input.name, &expected, found).into());
            }
            values.push(slice);
        }
        let rows = windows.num_rows();
        let mut scores = Scores::default();
        for (part, _) in &self.whole.outputs {
            let width = part.width(&self.info).unwrap_or(0);
            part.of(&mut scores).reserve_exact(rows * width);
        }
        if let (Some(overlap), Scheme::Tiles) = (&mut self.overlap, self.scheme)
            && overlap.run(&self.whole.inputs, &values, self.tile, &self.info, &mut scores)?
        {
            return Ok(scores);
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
                let parts: Vec<&[f32]> = (self.whole.inputs.iter().zip(&values))
                    .map(|(input, all)| &all[from * input.width()..(from + count) * input.width()])
                    .collect();
                self.whole.run(&parts, count, count, &self.info, &mut scores)?;
            } else {
                filled.clear();
                for (input, all) in self.whole.inputs.iter().zip(&values) {
                    let width = input.width();
                    let mut block = all[from * width..(from + count) * width].to_vec();
                    let last = block[(count - 1) * width..].to_vec();
                    (count..tile).for_each(|_| block.extend_from_slice(&last));
                    filled.push(block);
                }
                let parts: Vec<&[f32]> = filled.iter().map(Vec::as_slice).collect();
                self.whole.run(&parts, tile, count, &self.info, &mut scores)?;
            }
        }
        Ok(scores)
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
        for (part, _) in &self.whole.outputs {
            let values = part.of(&mut scores);
            // The parts of a vector must still add up to something finite.
            let most = f32::MAX / (values.len() / rows).max(1) as f32;
            for value in values.iter_mut().filter(|value| !value.is_finite()) {
                *value = most;
            }
        }
        Ok(scores)
    }
}

fn unfit(id: &ModelId, reason: impl Into<String>) -> Error {
    Error::Model { model: id.to_string(), reason: reason.into() }
}

type Inputs = (Vec<Input>, Option<usize>);

/// Matches the graph's inputs to window columns.
fn inputs(info: &ModelInfo, probe: &Probe) -> std::result::Result<Inputs, String> {
    let mut fixed_batch = None;
    let mut inputs = Vec::new();
    let channels = info.channels.len();
    let beside = probe.inputs.iter().filter(|(name, _)| name != ENTITY).count();
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
                [length] if *length > 0 && (beside > 1 || fits(&[channels])) => {
                    (FEATURES, vec![*length as usize])
                }
                [length] if *length <= 0 && beside == 1 => (FEATURES, vec![channels]),
                _ => return Err(format!("input `{FEATURES}` is {dims:?}, not [n, {channels}]")),
            },
            ENTITY if fits(&[1]) => (ENTITY, vec![1]),
            other => {
                return Err(format!(
                    "input `{other}` is unknown: inputs are `{WINDOW}` [n, steps, channels], \
                     `{FEATURES}` [n, length] and `{ENTITY}` [n, 1]"
                ));
            }
        };
        inputs.push(Input { name: name.to_owned(), dims: wanted });
    }
    if inputs.is_empty() {
        return Err(format!("it has neither an input `{WINDOW}` nor `{FEATURES}`"));
    }
    Ok((inputs, fixed_batch))
}
