//! Overlapping windows of one entity: their encoder runs once over the steps they share.
//!
//! [`split`] cuts the graph; here a batch is looked through for windows that continue the one before
//! (their shared steps compare equal, to the bit), stretches of them go through the first part, and
//! each window's own positions of the result through the second. Whether a window is scored so or
//! alone does not show: at load the two ways are compared on windows of many places in a stretch,
//! and unless every bit agrees, windows are scored alone.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use cloudops_operators::schema::result::{FEATURES, WINDOW};
use cloudops_operators::schema::{vector_array, vectors};
use cloudops_operators::score::{ModelInfo, Scores};
use ort::session::Session;

use super::run::{Input, Runner, failed, tensors};
use super::session::{Probe, session_for};
use super::split::{Layout, Split, split};
use super::{OrtScorer, invariance};
use crate::Result;

/// Windows of a stretch: enough that its ends weigh little.
const WINDOWS: usize = 16;
/// Stretches are used where they take at most this part of the multiplications that windows alone
/// take. At 1 they still take less time: a convolution over few positions leaves most of each
/// vector register empty.
const WORTH: f64 = 1.0;

/// A model cut in two.
pub(super) struct Overlap {
    encoder: Session,
    rest: Runner,
    layout: Layout,
    split: Split,
    input: Input,
    stretches: Vec<f32>,
    encoded: Vec<f32>,
}

impl std::fmt::Debug for Overlap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlap")
            .field("layout", &self.layout)
            .field("at", &self.split.encoded)
            .finish_non_exhaustive()
    }
}

/// The model cut for this hop, if that saves anything and changes no bit.
pub(super) fn tried(
    scorer: &mut OrtScorer,
    onnx: &[u8],
    hop: usize,
    rewrite: bool,
    probe: &Probe,
) -> Option<Overlap> {
    let (steps, channels) = (scorer.info.steps, scorer.info.channels.len());
    let windows = scorer.whole.inputs.iter().find(|input| input.name == WINDOW)?;
    if !rewrite || hop == 0 || hop >= steps || windows.dims != [steps, channels] {
        return None;
    }
    let layout = Layout { steps, channels, hop, windows: WINDOWS };
    let overlap = Overlap::new(scorer, onnx, layout, probe)?;
    // Windows of two full stretches and a part of a third, a gap, a pair, a gap, one alone.
    let rows: Vec<usize> = (0..2 * WINDOWS + 5).chain([0, 3, 4, 9]).collect();
    let sample = sample(scorer, layout, &rows)?;
    let alone = scorer.raw_scores(&sample).ok()?;
    scorer.overlap = Some(overlap);
    let shared = scorer.raw_scores(&sample);
    let overlap = scorer.overlap.take();
    match shared {
        Ok(shared) if invariance::same_bits(&shared, &alone) => overlap,
        Ok(_) => {
            tracing::debug!(model = %scorer.info.id, "overlapping windows are scored one by one: bits differ");
            None
        }
        Err(error) => {
            tracing::debug!(model = %scorer.info.id, %error, "overlapping windows are scored one by one");
            None
        }
    }
}

/// Windows at these places of one long stretch.
fn sample(scorer: &OrtScorer, layout: Layout, places: &[usize]) -> Option<RecordBatch> {
    let Layout { steps, channels, hop, .. } = layout;
    let most = places.iter().max()? * hop + steps;
    let drawn = scorer.sample(places.len().max(most.div_ceil(steps))).ok()?;
    let (stream, _) = vectors(&drawn, WINDOW).ok()?;
    let mut values = Vec::with_capacity(places.len() * steps * channels);
    for place in places {
        let from = place * hop * channels;
        values.extend_from_slice(&stream[from..from + steps * channels]);
    }
    let window: ArrayRef = Arc::new(vector_array(steps * channels, values));
    let mut columns = vec![(WINDOW, window)];
    if let Some(features) = drawn.column_by_name(FEATURES) {
        columns.push((FEATURES, features.slice(0, places.len())));
    }
    RecordBatch::try_from_iter(columns).ok()
}

impl Overlap {
    fn new(scorer: &OrtScorer, onnx: &[u8], layout: Layout, probe: &Probe) -> Option<Self> {
        let outputs: Vec<&str> =
            scorer.whole.outputs.iter().map(|(_, name)| name.as_str()).collect();
        let split = split(onnx, &outputs, &probe.shapes, layout)?;
        if split.stretch_cost > WORTH * WINDOWS as f64 * split.window_cost {
            return None;
        }
        let load = |part: &[u8], outputs: &[&str]| {
            let probe = Probe::of(part).ok()?;
            let (session, rewritten) = session_for(part, outputs, true, &probe).ok()?;
            rewritten.then_some(session)
        };
        let encoder = load(&split.encoder, &[&split.encoded])?;
        let rest = load(&split.rest, &outputs)?;
        let mut inputs = scorer.whole.inputs.clone();
        let dims = vec![split.filters, split.positions];
        inputs.push(Input { name: split.encoded.clone(), dims });
        let rest = Runner::new(rest, inputs, scorer.whole.outputs.clone()).ok()?;
        let dims = vec![layout.length(), layout.channels];
        let input = Input { name: WINDOW.to_owned(), dims };
        let (stretches, encoded) = (Vec::new(), Vec::new());
        Some(Self { encoder, rest, layout, split, input, stretches, encoded })
    }

    /// Scores a batch whose inputs are `values`; `false`, with nothing done, where too few of its
    /// windows overlap.
    pub(super) fn run(
        &mut self,
        inputs: &[Input],
        values: &[&[f32]],
        tile: usize,
        info: &ModelInfo,
        scores: &mut Scores,
    ) -> Result<bool> {
        let Some(at) = inputs.iter().position(|input| input.name == WINDOW) else {
            return Ok(false);
        };
        let windows = values[at];
        let lengths = self.lengths(windows);
        let rows: usize = lengths.iter().sum();
        let cost = lengths.len() as f64 * self.split.stretch_cost;
        if cost > WORTH * rows as f64 * self.split.window_cost {
            return Ok(false);
        }
        let mut from = 0;
        for group in lengths.chunks((tile / WINDOWS).max(1)) {
            let count: usize = group.iter().sum();
            self.encode(windows, from, group).map_err(|reason| failed(info, reason))?;
            let mut parts: Vec<&[f32]> = (inputs.iter().zip(values))
                .map(|(input, all)| &all[from * input.width()..(from + count) * input.width()])
                .collect();
            parts.push(&self.encoded);
            self.rest.run(&parts, count, count, info, scores)?;
            from += count;
        }
        Ok(true)
    }

    /// How many windows, in order, each stretch holds.
    fn lengths(&self, windows: &[f32]) -> Vec<usize> {
        let Layout { steps, channels, hop, .. } = self.layout;
        let mut lengths: Vec<usize> = Vec::new();
        let mut before: Option<&[f32]> = None;
        for window in windows.chunks_exact(steps * channels) {
            let continues = before.is_some_and(|before| {
                let shared = before[hop * channels..].iter().zip(window);
                shared.fold(0, |differ, (a, b)| differ | (a.to_bits() ^ b.to_bits())) == 0
            });
            before = Some(window);
            match lengths.last_mut() {
                Some(length) if continues && *length < WINDOWS => *length += 1,
                _ => lengths.push(1),
            }
        }
        lengths
    }

    /// Encodes stretches of these lengths, the first of which begins with window `from`; leaves each
    /// window's positions in `encoded`.
    fn encode(
        &mut self,
        windows: &[f32],
        mut from: usize,
        lengths: &[usize],
    ) -> std::result::Result<(), String> {
        let Layout { steps, channels, hop, .. } = self.layout;
        let (width, last) = (steps * channels, (steps - hop) * channels);
        self.stretches.clear();
        for (n, &length) in lengths.iter().enumerate() {
            for window in windows[from * width..].chunks_exact(width).take(length).enumerate() {
                let (at, window) = window;
                self.stretches.extend_from_slice(if at == 0 { window } else { &window[last..] });
            }
            from += length;
            // What no window covers is computed and not read.
            self.stretches.resize((n + 1) * self.input.width(), 0.0);
        }
        let inputs = std::slice::from_ref(&self.input);
        let inputs = tensors(inputs, &[&self.stretches], lengths.len())?;
        let results = self.encoder.run(inputs).map_err(|error| error.to_string())?;
        let (_, encoded) =
            results[0].try_extract_tensor::<f32>().map_err(|error| error.to_string())?;
        let Split { filters, positions, between, apart, .. } = self.split;
        let long = encoded.len() / (lengths.len() * filters);
        self.encoded.clear();
        for (stretch, &length) in encoded.chunks_exact(filters * long).zip(lengths) {
            for window in 0..length {
                for filter in stretch.chunks_exact(long) {
                    let own = filter[window * between..].iter().step_by(apart).take(positions);
                    self.encoded.extend(own);
                }
            }
        }
        Ok(())
    }
}
