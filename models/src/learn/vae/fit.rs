//! Fitting by gradients: shuffled batches, Adam, early stopping on later data.

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};

use super::super::random::Random;
use super::super::scaling::{INPUT_LIMIT, Scaling};
use super::super::{ERROR_LIMIT, Outputs};
use super::Vae;
use super::network::{Network, Plan, Said, numbers, tensor};
use crate::samples::Samples;
use crate::specification::{Loss, MaskedPretraining, Specification};
use crate::train::{EpochLoss, Progress};
use crate::{Error, Result};

/// Windows in one forward pass without gradients.
const FORWARD_BATCH: usize = 1_024;

/// What fitting gave.
#[derive(Debug)]
pub(crate) struct Fitted {
    /// The best pass's weights.
    pub(crate) vae: Vae,
    /// Their outputs on all holdout windows.
    pub(crate) outputs: Outputs,
    /// Losses of each pass.
    pub(crate) history: Vec<EpochLoss>,
    /// The best pass, from 1.
    pub(crate) best_epoch: usize,
    /// Windows that decided it.
    pub(crate) windows_holdout: usize,
}

/// Fits an autoencoder to (training, holdout) samples.
pub(crate) fn fit(
    specification: &Specification,
    scaling: &Scaling,
    (train, holdout): (&Samples, &Samples),
    progress: &mut dyn Progress,
) -> Result<Fitted> {
    let mut random = Random::new(specification.training.seed);
    let device = Device::flex().autodiff();
    let mut trainer = Trainer {
        specification,
        plan: Plan::new(specification),
        network: Network::new(specification, &mut random, &device),
        optimiser: adam(),
        random,
        device,
    };
    let train = Standardised::new(specification, scaling, train);
    // As many as a quarter of the training windows decide when to stop: each pass waits for them.
    let thin = holdout.thinned((specification.training.max_windows / 4).max(256));
    let early = Standardised::new(specification, scaling, &thin);

    let before = specification.masked_pretraining.map_or(0, |masked| masked.epochs);
    let of = before + specification.training.epochs;
    if let Some(masked) = specification.masked_pretraining {
        for epoch in 1..=masked.epochs {
            let loss = trainer.masked_pass(&train, masked)?;
            progress.epoch(epoch, of, loss, trainer.holdout_loss(&early));
        }
        // The moments of another loss would mislead the first steps.
        trainer.optimiser = adam();
    }

    let mut history: Vec<EpochLoss> = vec![];
    let mut best = (0, f32::INFINITY, trainer.network.clone());
    for epoch in 1..=specification.training.epochs {
        let loss = trainer.pass(&train, epoch)?;
        let holdout = trainer.holdout_loss(&early);
        history.push(EpochLoss { epoch, train: loss, holdout });
        progress.epoch(before + epoch, of, loss, holdout);
        if holdout < best.1 {
            best = (epoch, holdout, trainer.network.clone());
        } else if epoch >= best.0 + specification.training.patience {
            break;
        }
    }
    let (best_epoch, _, network) = best;
    trainer.network = network;
    Ok(Fitted {
        outputs: trainer.outputs(scaling, holdout),
        vae: trainer.network.numbers(&trainer.plan),
        history,
        best_epoch,
        windows_holdout: thin.len(),
    })
}

/// Kingma & Ba 2015, with the ε they give: the backend's own default is a thousand times larger.
fn adam() -> ModuleOptimizer {
    AdamConfig::new().with_epsilon(1e-8).init()
}

/// Windows and what follows them, standardised.
struct Standardised {
    windows: Vec<f32>,
    width: usize,
    ahead: Option<Vec<f32>>,
    ahead_width: usize,
}

impl Standardised {
    fn new(specification: &Specification, scaling: &Scaling, samples: &Samples) -> Self {
        // A future that no head learns from is left out.
        let future = specification.forecast.and(samples.future.as_ref());
        Self {
            windows: scaling.standardise(samples, INPUT_LIMIT),
            width: samples.width(),
            ahead: future.map(|future| scaling.standardised(samples, future, INPUT_LIMIT)),
            ahead_width: specification.forecast.map_or(0, |f| f.horizon * samples.channels),
        }
    }

    fn len(&self) -> usize {
        self.windows.len() / self.width
    }

    fn gather(&self, rows: &[usize]) -> Vec<f32> {
        gather(&self.windows, self.width, rows)
    }

    fn gather_ahead(&self, rows: &[usize]) -> Option<Vec<f32>> {
        self.ahead.as_ref().map(|ahead| gather(ahead, self.ahead_width, rows))
    }
}

fn gather(values: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    rows.iter().flat_map(|row| &values[row * width..(row + 1) * width]).copied().collect()
}

struct Trainer<'a> {
    specification: &'a Specification,
    plan: Plan,
    network: Network,
    optimiser: ModuleOptimizer,
    random: Random,
    device: Device,
}

impl Trainer<'_> {
    /// One pass over the training windows; returns the mean loss.
    fn pass(&mut self, train: &Standardised, epoch: usize) -> Result<f32> {
        let training = &self.specification.training;
        let done = (epoch - 1) as f64 / training.epochs as f64;
        let rate = training.learning_rate * (0.55 + 0.45 * (std::f64::consts::PI * done).cos());
        let mut sum = 0.0;
        for rows in self.random.permutation(train.len()).chunks(training.batch_size) {
            let windows = self.windows(train.gather(rows), &self.device);
            let latents = self.specification.latents;
            let noise = self.random.normal(rows.len() * latents);
            let noise = tensor(noise, [rows.len(), latents], &self.device);
            let said = self.network.forward(&self.plan, windows.clone(), Some(noise));
            let ahead = train.gather_ahead(rows);
            let loss = self.loss(&said, windows, ahead, &self.device);
            sum += self.step(loss, rate)? * rows.len() as f64;
        }
        Ok((sum / train.len() as f64) as f32)
    }

    /// One pass of rebuilding blanked steps; returns the mean loss over blanked elements.
    fn masked_pass(&mut self, train: &Standardised, masked: MaskedPretraining) -> Result<f32> {
        let training = &self.specification.training;
        let (steps, channels) = (self.specification.steps, self.specification.channels.len());
        let mut sum = 0.0;
        for rows in self.random.permutation(train.len()).chunks(training.batch_size) {
            let blanked: Vec<f32> = (0..rows.len() * steps)
                .map(|_| f32::from(self.random.uniform() < f64::from(masked.ratio)))
                .collect();
            let share = (blanked.iter().sum::<f32>() * channels as f32).max(1.0);
            let blanked = tensor(blanked, [rows.len(), steps, 1], &self.device);
            let windows = self.windows(train.gather(rows), &self.device);
            let seen = windows.clone() * (blanked.ones_like() - blanked.clone());
            let said = self.network.forward(&self.plan, seen, None);
            let error = self.distance(said.rebuilt - windows) * blanked;
            let loss = error.sum().mul_scalar(1.0 / share);
            sum += self.step(loss, training.learning_rate)? * rows.len() as f64;
        }
        Ok((sum / train.len() as f64) as f32)
    }

    fn step(&mut self, loss: Tensor<1>, rate: f64) -> Result<f64> {
        let value = f64::from(loss.clone().into_scalar::<f32>());
        if !value.is_finite() {
            return Err(Error::Training {
                model: self.specification.name.clone(),
                reason: format!("the loss became {value}: lower training.learning_rate"),
            });
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &self.network);
        self.network = self.optimiser.step(rate, self.network.clone(), gradients);
        Ok(value)
    }

    /// The mean loss at the latent's mean.
    fn holdout_loss(&self, holdout: &Standardised) -> f32 {
        let device = self.device.clone().without_autodiff();
        let network = self.network.valid();
        let rows: Vec<usize> = (0..holdout.len()).collect();
        let mut sum = 0.0;
        for rows in rows.chunks(FORWARD_BATCH) {
            let windows = self.windows(holdout.gather(rows), &device);
            let said = network.forward(&self.plan, windows.clone(), None);
            let loss = self.loss(&said, windows, holdout.gather_ahead(rows), &device);
            sum += f64::from(loss.into_scalar::<f32>()) * rows.len() as f64;
        }
        (sum / holdout.len() as f64) as f32
    }

    fn loss(
        &self,
        said: &Said,
        windows: Tensor<3>,
        ahead: Option<Vec<f32>>,
        device: &Device,
    ) -> Tensor<1> {
        let batch = windows.dims()[0];
        let error = self.distance(said.rebuilt.clone() - windows).mean();
        let kl = kl(said).map(|kl| kl.sum().mul_scalar(self.specification.beta / batch as f32));
        let loss = match kl {
            Some(kl) => error + kl,
            None => error,
        };
        match (&self.specification.forecast, &said.ahead, ahead) {
            (Some(forecast), Some(guessed), Some(ahead)) => {
                let ahead = tensor(ahead, guessed.dims(), device);
                let error = self.distance(guessed.clone() - ahead).mean();
                loss + error.mul_scalar(forecast.weight)
            }
            _ => loss,
        }
    }

    fn distance<const D: usize>(&self, difference: Tensor<D>) -> Tensor<D> {
        match self.specification.loss {
            Loss::Mse => difference.clone() * difference,
            Loss::Mae => difference.abs(),
        }
    }

    fn windows(&self, values: Vec<f32>, device: &Device) -> Tensor<3> {
        let (steps, channels) = (self.specification.steps, self.specification.channels.len());
        let count = values.len() / (steps * channels);
        tensor(values, [count, steps, channels], device)
    }

    /// The network's outputs on these samples, as the exported graph gives them.
    fn outputs(&self, scaling: &Scaling, samples: &Samples) -> Outputs {
        let device = self.device.clone().without_autodiff();
        let network = self.network.valid();
        let mut outputs = Outputs::default();
        let input = scaling.standardise(samples, INPUT_LIMIT);
        let target = scaling.standardise(samples, ERROR_LIMIT);
        let block = FORWARD_BATCH * samples.width();
        let mut at = 0;
        for (input, target) in input.chunks(block).zip(target.chunks(block)) {
            let windows = self.windows(input.to_vec(), &device);
            let count = windows.dims()[0];
            let said = network.forward(&self.plan, windows, None);
            outputs.kl.extend(kl(&said).map(numbers).unwrap_or_default());
            let rebuilt = numbers(said.rebuilt);
            outputs.push_errors(self.specification, target, &rebuilt);
            outputs.mu.extend(numbers(said.mu));
            outputs.logvar.extend(said.logvar.map(numbers).unwrap_or_default());
            let restored = |values: Vec<f32>, all: &mut Vec<f32>| {
                for (row, values) in values.chunks(values.len() / count).enumerate() {
                    all.extend(scaling.of(samples, at + row).restore(values));
                }
            };
            restored(rebuilt, &mut outputs.reconstruction);
            if let Some(ahead) = said.ahead {
                restored(numbers(ahead), &mut outputs.forecast);
            }
            at += count;
        }
        outputs
    }
}

/// ½ Σ (e^logvar + mu² − 1 − logvar) over latents, `[batch, 1]`, nats; none of a plain autoencoder.
fn kl(said: &Said) -> Option<Tensor<2>> {
    let logvar = said.logvar.clone()?;
    let square = said.mu.clone() * said.mu.clone();
    let terms = logvar.clone().exp() + square - logvar;
    Some(terms.sub_scalar(1.0).sum_dim(1).mul_scalar(0.5))
}
