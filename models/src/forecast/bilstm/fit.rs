//! Learning from simulated bills: fresh ones in every step, so nothing can be learned by heart.

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Tensor};

use super::export::export;
use super::network::{Network, Scaled, numbers, tensor};
use super::synthetic::bill;
use super::{DAYS_AHEAD, DAYS_READ, INPUT_LIMIT, MEANS_AHEAD, WEEK, WIDTH, Window};
use crate::learn::random::Random;
use crate::{Error, Result};

/// How the model is learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Training {
    /// LSTM units in each direction. Default 48.
    pub hidden: usize,
    /// Units between encoder and quantiles. Default 96.
    pub wide: usize,
    /// Steps of the optimiser. Default 1000.
    pub steps: usize,
    /// Simulated bills a step. Default 256.
    pub batch: usize,
    /// Adam's rate at first; it falls to a fiftieth along a cosine. Default 0.003.
    pub learning_rate: f64,
    /// Seeds weights and bills. Default 1.
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Self { hidden: 48, wide: 96, steps: 1000, batch: 256, learning_rate: 0.003, seed: 1 }
    }
}

/// A learned model: its file, and what the training backend says, for comparison.
#[derive(Debug, Clone)]
pub struct LearnedBiLstm {
    /// The file: a function of the settings, to the bit.
    pub onnx: Vec<u8>,
    /// Mean loss over the first and the last twentieth of the steps, in scales.
    pub losses: (f64, f64),
    network: Network,
}

impl LearnedBiLstm {
    /// p10, p50 and p90 as the training backend computes them, for one window.
    #[must_use]
    pub fn native(&self, window: &Window) -> [Vec<f32>; 3] {
        let device = Device::flex();
        let scaled = Scaled::of(&window.values, &window.known);
        let scale = scaled.scales[0];
        let [middle, below, above] = self.network.valid().forward(&scaled, &device);
        let quantiles = [middle.clone() - below, middle.clone(), middle + above];
        quantiles.map(|quantile| numbers(quantile * f64::from(scale)))
    }
}

/// Learns the model and exports it. The defaults take some hundred seconds of one core.
///
/// # Errors
/// [`Error::Training`] when the loss becomes infinite.
pub fn train(training: &Training) -> Result<LearnedBiLstm> {
    let mut random = Random::new(training.seed);
    let device = Device::flex().autodiff();
    let mut network = Network::new(training.hidden, training.wide, &mut random, &device);
    // Kingma & Ba 2015, with the ε they give.
    let mut optimiser = AdamConfig::new().with_epsilon(1e-8).init();
    let mut losses = Vec::with_capacity(training.steps);
    for step in 0..training.steps {
        let (windows, targets) = batch(training.batch, &mut random);
        let targets = tensor(targets, [training.batch, WIDTH], &device);
        let said = network.forward(&windows, &device);
        let loss = pinball(said, targets, &device);
        let value = f64::from(loss.clone().into_scalar::<f32>());
        if !value.is_finite() {
            let reason = format!("the loss became {value}: lower learning_rate");
            return Err(Error::Training { model: "bilstm".to_owned(), reason });
        }
        losses.push(value);
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        let done = step as f64 / training.steps as f64;
        let rate = training.learning_rate * (0.51 + 0.49 * (std::f64::consts::PI * done).cos());
        network = optimiser.step(rate, network, gradients);
    }
    let part = (losses.len() / 20).max(1);
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len().max(1) as f64;
    let ends = (mean(&losses[..part.min(losses.len())]), mean(&losses[losses.len() - part..]));
    let onnx = export(&network.numbers());
    Ok(LearnedBiLstm { onnx, losses: ends, network })
}

/// Simulated windows, scaled, and what follows them: days and means, in scales.
fn batch(count: usize, random: &mut Random) -> (Scaled, Vec<f32>) {
    let (mut values, mut known, mut ahead) = (vec![], vec![], vec![]);
    for _ in 0..count {
        let bill = bill(random);
        let (past, future) = bill.days.split_at(DAYS_READ);
        let is_known = |at: usize| f32::from(u8::from(at >= bill.unknown));
        values.extend(past.iter().enumerate().map(|(at, day)| *day as f32 * is_known(at)));
        known.extend((0..DAYS_READ).map(is_known));
        ahead.push(future.to_vec());
    }
    let scaled = Scaled::of(&values, &known);
    let mut targets = Vec::with_capacity(count * WIDTH);
    for (future, scale) in ahead.iter().zip(&scaled.scales) {
        let ratio =
            |value: f64| (value / f64::from(*scale)).clamp(0.0, f64::from(INPUT_LIMIT)) as f32;
        targets.extend(future.iter().map(|day| ratio(*day)));
        for week in 1..=MEANS_AHEAD {
            let days = &future[..(week * WEEK).min(DAYS_AHEAD)];
            targets.push(ratio(days.iter().sum::<f64>() / days.len() as f64));
        }
    }
    (scaled, targets)
}

/// How much more a mean weighs than a day in the loss: totals are what is asked for.
const MEANS_WEIGHT: f32 = 4.0;

/// The pinball losses of the three quantiles (Koenker & Bassett 1978), mean over days and means.
fn pinball(said: [Tensor<2>; 3], target: Tensor<2>, device: &Device) -> Tensor<1> {
    let [middle, below, above] = said;
    let mut weights = vec![1.0; DAYS_AHEAD];
    weights.resize(WIDTH, MEANS_WEIGHT);
    let sum: f32 = weights.iter().sum();
    let weights = tensor(weights, [1, WIDTH], device).mul_scalar(1.0 / sum);
    let rows = target.dims()[0] as f32;
    let loss = |said: Tensor<2>, share: f32| {
        let off = target.clone() - said;
        // share · off where it came to more, (share − 1) · off where to less.
        off.clone().mul_scalar(share - 0.5) + off.abs().mul_scalar(0.5)
    };
    let all =
        loss(middle.clone() - below, 0.1) + loss(middle.clone(), 0.5) + loss(middle + above, 0.9);
    (all * weights).sum().mul_scalar(1.0 / rows)
}
