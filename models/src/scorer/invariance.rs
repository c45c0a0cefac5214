//! Does a row's score depend on the batch it travels in? Measured, to the bit.
//!
//! Floating-point kernels may choose another order of summation for another
//! batch size or another place in memory. The system's first law forbids that
//! to show, so every model is tried before it is registered, and one that
//! fails is run in the widest scheme in which it does not.

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Float32Type, Schema};
use cloudops_operators::schema::result::{FEATURES, WINDOW};
use cloudops_operators::schema::{ENTITY_ID, vector_array};
use cloudops_operators::score::{ModelInfo, Scores};
use cloudops_operators::seeded::SplitMix64;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::{InputShapes, OrtScorer};
use crate::Result;

/// How a batch is handed to the runtime.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// In tiles, the last one shorter: bits depend neither on the place nor on the size.
    #[default]
    Tiles,
    /// In tiles of exactly one size, the last one filled up: bits do not depend on the place.
    FullTiles,
    /// One row at a time.
    Rows,
}

/// What was found of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invariance {
    /// The widest scheme in which no bit depends on the batch.
    pub scheme: Scheme,
    /// Rows tried.
    pub rows: usize,
    /// Batch sizes tried, in order and shuffled, from different rows on.
    pub batches: Vec<usize>,
    /// Outputs that do vary in tiles of any size, and in how many of the rows at most.
    pub varying: Vec<(String, usize)>,
}

impl Invariance {
    /// Whether bits are independent of the batch without any precaution.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.varying.is_empty()
    }
}

/// Batch sizes tried: one, odd ones, the usual tiles, a large one.
const BATCHES: [usize; 6] = [2, 7, 16, 64, 128, 1000];
/// Rows of a full tile in [`Scheme::FullTiles`]. Small: a tile is filled up for a single row.
pub(super) const FULL_TILE: usize = 32;

/// Tries the scorer's session on a window batch; the scorer is left as it was.
pub(super) fn measure(scorer: &mut OrtScorer, sample: &RecordBatch) -> Result<Invariance> {
    let saved = (scorer.scheme, scorer.tile, scorer.overlap.take());
    let found = measured(scorer, sample);
    (scorer.scheme, scorer.tile, scorer.overlap) = saved;
    found
}

fn measured(scorer: &mut OrtScorer, sample: &RecordBatch) -> Result<Invariance> {
    let rows = sample.num_rows();
    let batches: Vec<usize> = BATCHES.iter().copied().filter(|batch| *batch <= rows).collect();
    let orders: [Vec<u32>; 3] = [
        (0..rows as u32).collect(),
        (0..rows as u32).map(|row| (row + 5) % rows as u32).collect(),
        shuffled(rows),
    ];
    // Single rows are the reference; enough of them to catch a kernel that treats one row apart.
    let alone = sample.slice(0, rows.min(2 * FULL_TILE));
    scorer.scheme = Scheme::Rows;
    let single = scorer.raw_scores(&alone)?;
    if scorer.fixed_batch.is_some() {
        // A graph of one batch size has no other scheme than full tiles of it, or single rows.
        let varying = full_tiles_vary(scorer, sample, &orders)?;
        let scheme = if varying.is_empty() { Scheme::FullTiles } else { Scheme::Rows };
        return Ok(Invariance { scheme, rows, batches: vec![], varying });
    }
    scorer.scheme = Scheme::Tiles;
    scorer.tile = rows.max(1);
    let reference = scorer.raw_scores(sample)?;
    let mut varying = Vec::new();
    count(&mut varying, &single, &head(&reference, alone.num_rows(), rows));
    for batch in &batches {
        scorer.tile = *batch;
        for order in &orders {
            count(&mut varying, &scored_in_order(scorer, sample, order)?, &reference);
        }
    }
    if varying.is_empty() {
        return Ok(Invariance { scheme: Scheme::Tiles, rows, batches, varying });
    }
    scorer.scheme = Scheme::FullTiles;
    scorer.tile = FULL_TILE;
    let scheme = match full_tiles_vary(scorer, sample, &orders)?.is_empty() {
        true => Scheme::FullTiles,
        false => Scheme::Rows,
    };
    Ok(Invariance { scheme, rows, batches, varying })
}

fn full_tiles_vary(
    scorer: &mut OrtScorer,
    sample: &RecordBatch,
    orders: &[Vec<u32>],
) -> Result<Vec<(String, usize)>> {
    scorer.scheme = Scheme::FullTiles;
    let reference = scorer.raw_scores(sample)?;
    let mut varying = Vec::new();
    for order in orders {
        count(&mut varying, &scored_in_order(scorer, sample, order)?, &reference);
        // Fewer rows, so that some tiles are filled up.
        let few = sample.slice(0, sample.num_rows().min(7));
        count(
            &mut varying,
            &scorer.raw_scores(&few)?,
            &head(&reference, few.num_rows(), sample.num_rows()),
        );
    }
    Ok(varying)
}

/// Scores the rows in another order, and puts the scores back in the sample's order.
fn scored_in_order(scorer: &mut OrtScorer, sample: &RecordBatch, order: &[u32]) -> Result<Scores> {
    let order = UInt32Array::from(order.to_vec());
    let columns = sample.columns().iter().map(|column| take(column, &order, None));
    let columns = columns.collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
    let mut scores = scorer.raw_scores(&RecordBatch::try_new(sample.schema(), columns)?)?;
    for (_, values) in parts_mut(&mut scores) {
        let width = values.len() / order.len().max(1);
        let mut back = vec![0.0; values.len()];
        for (from, to) in order.values().iter().enumerate() {
            let to = *to as usize;
            back[to * width..(to + 1) * width]
                .copy_from_slice(&values[from * width..(from + 1) * width]);
        }
        *values = back;
    }
    Ok(scores)
}

fn head(scores: &Scores, rows: usize, of: usize) -> Scores {
    let mut head = scores.clone();
    for (_, values) in parts_mut(&mut head) {
        values.truncate(values.len() / of.max(1) * rows);
    }
    head
}

fn count(varying: &mut Vec<(String, usize)>, found: &Scores, reference: &Scores) {
    let rows = reference.score.len().max(1);
    for ((name, a), (_, b)) in parts(found).into_iter().zip(parts(reference)) {
        let width = (b.len() / rows).max(1);
        let differ =
            |(a, b): &(&[f32], &[f32])| a.iter().zip(*b).any(|(a, b)| a.to_bits() != b.to_bits());
        let rows = a.chunks(width).zip(b.chunks(width)).filter(differ).count();
        if rows > 0 {
            match varying.iter_mut().find(|(known, _)| known == name) {
                Some((_, most)) => *most = rows.max(*most),
                None => varying.push((name.to_owned(), rows)),
            }
        }
    }
}

/// Whether two scorings of the same windows agree to the bit.
pub(super) fn same_bits(found: &Scores, reference: &Scores) -> bool {
    let mut varying = Vec::new();
    count(&mut varying, found, reference);
    let lengths = |scores| parts(scores).map(|(_, values)| values.len());
    varying.is_empty() && lengths(found) == lengths(reference)
}

fn parts(scores: &Scores) -> [(&'static str, &Vec<f32>); 6] {
    [
        ("score", &scores.score),
        ("reconstruction_error", &scores.reconstruction_error),
        ("kl", &scores.kl),
        ("channel_error", &scores.channel_error),
        ("step_error", &scores.step_error),
        ("latent", &scores.latent),
    ]
}

fn parts_mut(scores: &mut Scores) -> [(&'static str, &mut Vec<f32>); 6] {
    [
        ("score", &mut scores.score),
        ("reconstruction_error", &mut scores.reconstruction_error),
        ("kl", &mut scores.kl),
        ("channel_error", &mut scores.channel_error),
        ("step_error", &mut scores.step_error),
        ("latent", &mut scores.latent),
    ]
}

/// Windows to try a model on: random walks about the calibration data's mean, always the same.
pub(super) fn sample(info: &ModelInfo, shapes: InputShapes, rows: usize) -> Result<RecordBatch> {
    let mut random = SplitMix64::new(0x9e37_79b9_7f4a_7c15);
    let (mut fields, mut columns) = (Vec::new(), Vec::<ArrayRef>::new());
    for (name, width) in [(WINDOW, shapes.window), (FEATURES, shapes.features)] {
        let Some(width) = width else { continue };
        let channels = info.channels.len().clamp(1, width);
        let (mean, std) = (&info.channel_mean, &info.channel_std);
        let known =
            width.is_multiple_of(channels) && mean.len() == channels && std.len() == channels;
        let mut values = Vec::with_capacity(rows * width);
        for _ in 0..rows {
            let mut walk = vec![0.0_f32; channels];
            for at in 0..width {
                let channel = at % channels;
                walk[channel] = 0.8 * walk[channel] + 0.6 * normal(&mut random);
                let (mean, std) = if known { (mean[channel], std[channel]) } else { (0.0, 1.0) };
                values.push(mean + std * walk[channel]);
            }
        }
        let array = vector_array(width, values);
        let kind: &DataType = arrow::array::Array::data_type(&array);
        fields.push(Field::new(name, kind.clone(), false));
        columns.push(Arc::new(array));
    }
    if !info.entities.is_empty() {
        // Whoever is known, and now and then somebody who is not.
        let known = info.entities.iter().map(String::as_str).chain([""]).cycle();
        fields.push(Field::new(ENTITY_ID, DataType::Utf8, false));
        columns.push(Arc::new(StringArray::from_iter_values(known.take(rows))));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The largest relative difference between two models' scores of a batch; infinite where one is finite only.
pub(crate) fn largest_difference(found: &Scores, reference: &Scores) -> f64 {
    let mut largest = 0.0_f64;
    for (a, b) in found.score.iter().zip(&reference.score) {
        if a.to_bits() != b.to_bits() {
            let (a, b) = (f64::from(*a), f64::from(*b));
            let difference = (a - b).abs() / a.abs().max(b.abs()).max(f64::MIN_POSITIVE);
            largest = largest.max(if difference.is_nan() { f64::INFINITY } else { difference });
        }
    }
    largest
}

fn shuffled(rows: usize) -> Vec<u32> {
    let mut random = SplitMix64::new(7);
    let mut order: Vec<u32> = (0..rows as u32).collect();
    for at in (1..rows).rev() {
        order.swap(at, (random.bits() % (at as u64 + 1)) as usize);
    }
    order
}

/// Mean 0, variance 1, the sum of twelve uniform values: close enough to a normal one.
fn normal(random: &mut SplitMix64) -> f32 {
    (0..12).map(|_| (random.bits() >> 40) as f32 / (1_u64 << 24) as f32).sum::<f32>() - 6.0
}

/// Whether a window batch holds nulls where the runtime would read a value.
pub(super) fn has_nulls(column: &ArrayRef) -> bool {
    use arrow::array::Array;
    let list = column.as_fixed_size_list_opt();
    column.null_count() > 0
        || list.is_some_and(|list| {
            let values = list.values().as_primitive_opt::<Float32Type>();
            values.is_some_and(|values| values.null_count() > 0)
        })
}
