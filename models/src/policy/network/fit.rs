//! Transitions drawn once, and a network fitted to them round after round.

use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};

use super::export::export;
use super::{PRICES, Problem, least};
use crate::learn::random::Random;
use crate::{Error, Result};

/// How a network is learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NetworkTraining {
    /// Units of each of the two hidden layers. Default 32.
    pub hidden: usize,
    /// Transitions that are drawn. Default 40,000.
    pub transitions: usize,
    /// How often targets are computed anew. Default 60.
    pub rounds: usize,
    /// Steps of the optimiser in a round. Default 50.
    pub steps: usize,
    /// Transitions a step. Default 256.
    pub batch: usize,
    /// Adam's rate at first; it falls to a fiftieth along a cosine. Default 0.003.
    pub learning_rate: f64,
    /// Seeds weights, transitions and batches. Default 1.
    pub seed: u64,
}

impl Default for NetworkTraining {
    fn default() -> Self {
        let (hidden, transitions, rounds, steps) = (32, 40_000, 60, 50);
        Self { hidden, transitions, rounds, steps, batch: 256, learning_rate: 0.003, seed: 1 }
    }
}

/// A learned network: its file, and what the training backend says, for comparison.
#[derive(Debug, Clone)]
pub struct LearnedNetwork {
    /// The file: a function of problems and settings, to the bit.
    pub onnx: Vec<u8>,
    network: Network,
    cost_scale: f32,
}

impl LearnedNetwork {
    /// Cost and violations of every action in one situation, as the training backend computes them.
    #[must_use]
    pub fn native(&self, situation: &[f32], price: f64) -> (Vec<f32>, Vec<f32>) {
        let device = Device::flex();
        let mut row = situation.to_vec();
        row.push(as_input(price));
        let shape = [1, row.len()];
        let said = numbers(self.network.valid().forward(tensor(row, shape, &device)));
        let (cost, violations) = said.split_at(said.len() / 2);
        let cost = cost.iter().map(|value| value * self.cost_scale).collect();
        (cost, violations.to_vec())
    }
}

/// Weights, row-major, inputs first.
pub(super) struct Weights {
    /// Inputs, two hidden layers, outputs: costs, then violations.
    pub(super) widths: [usize; 4],
    /// `[from, to]` and `[to]` each.
    pub(super) layers: [(Vec<f32>, Vec<f32>); 3],
    /// What costs were divided by.
    pub(super) cost_scale: f32,
}

/// Plays problems at random, and fits a network to what came of it.
///
/// # Errors
/// [`Error::Data`] when no problem has a step; [`Error::Training`] when the loss becomes infinite.
pub fn learn<P: Problem>(problems: &[P], training: &NetworkTraining) -> Result<LearnedNetwork> {
    let mut random = Random::new(training.seed);
    let drawn = Transitions::draw(problems, training.transitions, &mut random)?;
    let device = Device::flex().autodiff();
    let (width, actions) = (P::FEATURES + 1, P::ACTIONS.len());
    let widths = [width, training.hidden, training.hidden, 2 * actions];
    let mut network = Network::new(widths, &mut random, &device);
    // Kingma & Ba 2015, with the ε they give.
    let mut optimiser = AdamConfig::new().with_epsilon(1e-8).init();
    let mut targets = vec![0.0; drawn.len() * 2];
    let steps = training.rounds * training.steps;
    for round in 0..training.rounds {
        // A price for each transition, another one in every round.
        let prices: Vec<f64> =
            (0..drawn.len()).map(|_| (random.uniform() * PRICES.1.ln()).exp()).collect();
        drawn.targets::<P>(&network.valid(), &prices, &mut targets);
        for step in 0..training.steps {
            let rows: Vec<usize> = (0..training.batch)
                .map(|_| (random.uniform() * drawn.len() as f64) as usize)
                .collect();
            let inputs = drawn.inputs(&drawn.before, &prices, rows.iter().copied());
            let said = network.forward(tensor(inputs, [rows.len(), width], &device));
            let mut mask = vec![0.0; rows.len() * 2 * actions];
            let mut wanted = mask.clone();
            for (place, row) in rows.iter().enumerate() {
                let action = drawn.actions[*row];
                for (half, weight) in [(0, 1.0), (actions, VIOLATIONS_WEIGHT)] {
                    let at = place * 2 * actions + half + action;
                    mask[at] = weight;
                    wanted[at] = targets[row * 2 + usize::from(half > 0)];
                }
            }
            let shape = [rows.len(), 2 * actions];
            let off = said - tensor(wanted, shape, &device);
            let loss = (off.clone() * off * tensor(mask, shape, &device)).sum();
            let loss = loss.mul_scalar(1.0 / rows.len() as f32);
            let value = f64::from(loss.clone().into_scalar::<f32>());
            if !value.is_finite() {
                let reason = format!("the loss became {value}: lower learning_rate");
                return Err(Error::Training { model: "q-network".to_owned(), reason });
            }
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            let done = (round * training.steps + step) as f64 / steps as f64;
            let rate = training.learning_rate * (0.51 + 0.49 * (std::f64::consts::PI * done).cos());
            network = optimiser.step(rate, network, gradients);
        }
    }
    let cost_scale = drawn.cost_scale;
    let weights = Weights { widths, layers: network.numbers(), cost_scale };
    let onnx = export(&weights, "q-network");
    Ok(LearnedNetwork { onnx, network, cost_scale })
}

/// How much more a violation weighs in the loss than a cost: it is rarer.
const VIOLATIONS_WEIGHT: f32 = 20.0;
/// Steps for which a drawn habit is kept.
const HABIT: usize = 12;
/// Situations in one forward pass without gradients.
const FORWARD_BATCH: usize = 4_096;

/// What was done, and what came of it.
struct Transitions {
    width: usize,
    /// `[transitions, features]`
    before: Vec<f32>,
    after: Vec<f32>,
    actions: Vec<usize>,
    /// In units of the scale.
    costs: Vec<f32>,
    violations: Vec<f32>,
    cost_scale: f32,
}

impl Transitions {
    /// Half of the actions are drawn step by step, half follow a habit that is drawn anew every so often:
    /// so that situations are met which only come of doing the same again and again.
    fn draw<P: Problem>(problems: &[P], count: usize, random: &mut Random) -> Result<Self> {
        let (mut before, mut after, mut actions) = (vec![], vec![], vec![]);
        let (mut costs, mut violations) = (vec![], vec![]);
        let any = |random: &mut Random| (random.uniform() * P::ACTIONS.len() as f64) as usize;
        if problems.iter().all(|problem| problem.clone().act(0).is_none()) {
            return Err(Error::Data("a policy has no step to learn from".to_owned()));
        }
        while actions.len() < count {
            let mut problem = problems[(random.uniform() * problems.len() as f64) as usize].clone();
            let mut habit = any(random);
            for at in 0.. {
                if at % HABIT == 0 {
                    habit = any(random);
                }
                let action = if random.uniform() < 0.5 { habit } else { any(random) };
                let start = before.len();
                problem.features(&mut before);
                let Some(step) = problem.act(action) else {
                    before.truncate(start);
                    break;
                };
                problem.features(&mut after);
                actions.push(action);
                costs.push(step.cost as f32);
                violations.push(f32::from(u8::from(step.is_violation)));
            }
        }
        let sum: f64 = costs.iter().map(|cost: &f32| f64::from(*cost)).sum();
        let cost_scale = (sum / costs.len() as f64).max(1e-6) as f32;
        costs.iter_mut().for_each(|cost| *cost /= cost_scale);
        let width = P::FEATURES;
        Ok(Self { width, before, after, actions, costs, violations, cost_scale })
    }

    fn len(&self) -> usize {
        self.actions.len()
    }

    /// Situations with their prices, `[rows, features + 1]`.
    fn inputs(
        &self,
        situations: &[f32],
        prices: &[f64],
        rows: impl Iterator<Item = usize>,
    ) -> Vec<f32> {
        let mut inputs = Vec::new();
        for row in rows {
            inputs.extend_from_slice(&situations[row * self.width..][..self.width]);
            inputs.push(as_input(prices[row]));
        }
        inputs
    }

    /// What each transition's action should say: cost and violations, `[transitions, 2]`.
    fn targets<P: Problem>(&self, network: &Network, prices: &[f64], into: &mut [f32]) {
        let device = Device::flex();
        let (actions, now) = (P::ACTIONS.len(), (1.0 - P::DISCOUNT) as f32);
        let later = P::DISCOUNT as f32;
        for from in (0..self.len()).step_by(FORWARD_BATCH) {
            let rows = from..(from + FORWARD_BATCH).min(self.len());
            let inputs = self.inputs(&self.after, prices, rows.clone());
            let said = network.forward(tensor(inputs, [rows.len(), self.width + 1], &device));
            for (row, said) in rows.zip(numbers(said).chunks(2 * actions)) {
                let (cost, violations) = said.split_at(actions);
                // The price is in instance-steps, the costs here are in units of their scale.
                let price = prices[row] / f64::from(self.cost_scale);
                let priced = cost.iter().zip(violations);
                let next = least(priced.map(|(c, v)| f64::from(*c) + price * f64::from(*v)));
                into[2 * row] = now * self.costs[row] + later * cost[next].max(0.0);
                into[2 * row + 1] =
                    now * self.violations[row] + later * violations[next].clamp(0.0, 1.0);
            }
        }
    }
}

/// A price as the network reads it: its logarithm, −1 to 1.
fn as_input(price: f64) -> f32 {
    (price.clamp(PRICES.0, PRICES.1).ln() / (0.5 * PRICES.1.ln()) - 1.0) as f32
}

#[derive(Module, Debug)]
struct Layer {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

/// Three layers, the first two rectified.
#[derive(Module, Debug)]
struct Network {
    layers: Vec<Layer>,
}

impl Network {
    fn new(widths: [usize; 4], random: &mut Random, device: &Device) -> Self {
        let layer = |pair: &[usize]| {
            let limit = (3.0 / pair[0] as f64).sqrt();
            let values = (0..pair[0] * pair[1]).map(|_| random.symmetric(limit)).collect();
            let weight = Param::from_tensor(tensor(values, [pair[0], pair[1]], device));
            Layer { weight, bias: Param::from_tensor(Tensor::full([pair[1]], 0.0, device)) }
        };
        Self { layers: widths.windows(2).map(layer).collect() }
    }

    fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        let last = self.layers.len() - 1;
        self.layers.iter().enumerate().fold(inputs, |value, (at, layer)| {
            let value = value.matmul(layer.weight.val()) + layer.bias.val().unsqueeze::<2>();
            if at < last { relu(value) } else { value }
        })
    }

    fn numbers(&self) -> [(Vec<f32>, Vec<f32>); 3] {
        [0, 1, 2].map(|at| {
            let layer: &Layer = &self.layers[at];
            (numbers(layer.weight.val()), numbers(layer.bias.val()))
        })
    }
}

fn tensor(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("every tensor here is made of f32")
}

#[cfg(test)]
mod tests {
    use super::super::super::scaling::{Known, Scaling};
    use super::super::{QNetwork, Tally};
    use super::*;
    use cloudops_datasets::simulate::scaling::ScalingConfig;

    /// A demand that is high every other half day.
    fn known() -> Known {
        let config = ScalingConfig { minimum: 1, maximum: 20, start_steps: 1 };
        let demand = (0..600).map(|at| if at % 24 < 12 { 2.5 } else { 6.5 }).collect();
        Known::new(config, demand, Some(24))
    }

    fn small() -> NetworkTraining {
        NetworkTraining { transitions: 4_000, rounds: 30, steps: 30, ..NetworkTraining::default() }
    }

    #[test]
    fn a_network_learns_the_season_and_the_runtime_agrees_with_it() {
        let known = known();
        let problem = Scaling::new(&known, 48, 600).unwrap();
        let learned = learn(std::slice::from_ref(&problem), &small()).unwrap();
        assert_eq!(learned.onnx, learn(std::slice::from_ref(&problem), &small()).unwrap().onnx);

        let mut network = QNetwork::open(&learned.onnx).unwrap();
        let mut situation = vec![];
        // Prices out of range too: they are taken for the nearest, there and here.
        for price in [0.1, 1.0, 64.0, 4096.0, 1e6] {
            let mut walked = problem.clone();
            loop {
                situation.clear();
                walked.features(&mut situation);
                let said = network.run(&situation, &[price as f32]).unwrap();
                let native = learned.native(&situation, price);
                for (a, b) in said.0.iter().chain(&said.1).zip(native.0.iter().chain(&native.1)) {
                    assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{a} {b}");
                }
                // Every action in turn: situations of all kinds.
                if (0..7).any(|action| walked.act(action).is_none()) {
                    break;
                }
            }
        }

        // The most careful action, at every step, holds 11 instances for ever.
        let blocks = network.play(&[problem], 100, &[4096.0, 1.0]).unwrap();
        assert_eq!(blocks[0].len(), 6, "552 steps");
        let (dear, cheap) = (Tally::sum(&blocks[0]), Tally::sum(&blocks[1]));
        assert!(dear.violation_share() < 0.05, "{dear:?}");
        assert!(dear.cost / (dear.steps as f64) < 9.5, "{dear:?}");
        assert!(cheap.cost < dear.cost && cheap.violations > dear.violations);
    }

    #[test]
    fn nothing_to_learn_from_is_refused() {
        let known = known();
        let problem = Scaling::new(&known, 600, 600).unwrap();
        assert!(matches!(learn(&[problem], &small()), Err(Error::Data(_))));
    }
}
