//! A session, its inputs, and the outputs that are asked of it.

use cloudops_operators::score::{ModelInfo, Scores};
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::TensorRef;

use crate::{Error, Result};

/// A part of the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Score,
    ReconstructionError,
    Kl,
    Latent,
    ChannelError,
    StepError,
}

impl Part {
    /// Values a row; `None` where only the graph knows.
    pub(super) fn width(self, info: &ModelInfo) -> Option<usize> {
        match self {
            Self::Score | Self::ReconstructionError | Self::Kl => Some(1),
            Self::ChannelError => Some(info.channels.len()),
            Self::StepError => Some(info.steps),
            Self::Latent => None,
        }
    }

    /// Where its values go.
    pub(super) fn of(self, scores: &mut Scores) -> &mut Vec<f32> {
        match self {
            Self::Score => &mut scores.score,
            Self::ReconstructionError => &mut scores.reconstruction_error,
            Self::Kl => &mut scores.kl,
            Self::Latent => &mut scores.latent,
            Self::ChannelError => &mut scores.channel_error,
            Self::StepError => &mut scores.step_error,
        }
    }
}

/// One input: the column and the graph's input of the same name, and the dimensions after the batch.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) dims: Vec<usize>,
}

impl Input {
    pub(super) fn width(&self) -> usize {
        self.dims.iter().product()
    }
}

/// A session ready to run.
pub(super) struct Runner {
    session: Session,
    selected: RunOptions<HasSelectedOutputs>,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<(Part, String)>,
}

impl Runner {
    pub(super) fn new(
        session: Session,
        inputs: Vec<Input>,
        outputs: Vec<(Part, String)>,
    ) -> Result<Self> {
        let selector = outputs
            .iter()
            .fold(OutputSelector::no_default(), |selector, (_, name)| selector.with(name));
        let selected = RunOptions::new().map_err(|error| Error::Runtime(error.to_string()))?;
        let selected = selected.with_outputs(selector);
        Ok(Self { session, selected, inputs, outputs })
    }

    /// Runs one tile of `rows` rows and appends the first `keep` of its results.
    pub(super) fn run(
        &mut self,
        parts: &[&[f32]],
        rows: usize,
        keep: usize,
        info: &ModelInfo,
        scores: &mut Scores,
    ) -> Result<()> {
        let failed = |reason: String| failed(info, reason);
        let inputs = tensors(&self.inputs, parts, rows).map_err(failed)?;
        let results = self
            .session
            .run_with_options(inputs, &self.selected)
            .map_err(|error| failed(error.to_string()))?;
        for (part, name) in &self.outputs {
            let value = results.get(name).ok_or_else(|| failed(format!("no output `{name}`")))?;
            let (shape, values) =
                value.try_extract_tensor::<f32>().map_err(|error| failed(error.to_string()))?;
            let expected = part.width(info);
            let width = values.len() / rows;
            if values.len() % rows != 0 || expected.is_some_and(|expected| expected != width) {
                return Err(failed(format!(
                    "output `{name}` is {:?} for {rows} windows, not {} a window",
                    &**shape,
                    expected.unwrap_or(1)
                )));
            }
            part.of(scores).extend_from_slice(&values[..keep * width]);
        }
        Ok(())
    }
}

/// A model that failed to score.
pub(super) fn failed(info: &ModelInfo, reason: String) -> Error {
    let model = info.id.to_string();
    Error::Operator(cloudops_operators::Error::Model { model, reason })
}

/// The runtime's view of each input's values.
pub(super) fn tensors<'a>(
    inputs: &'a [Input],
    parts: &[&'a [f32]],
    rows: usize,
) -> std::result::Result<Vec<(&'a str, SessionInputValue<'a>)>, String> {
    let mut tensors = Vec::with_capacity(parts.len());
    for (input, values) in inputs.iter().zip(parts) {
        let mut dims = Vec::with_capacity(4);
        dims.push(rows);
        dims.extend_from_slice(&input.dims);
        let tensor =
            TensorRef::from_array_view((dims, *values)).map_err(|error| error.to_string())?;
        tensors.push((input.name.as_str(), tensor.into()));
    }
    Ok(tensors)
}
