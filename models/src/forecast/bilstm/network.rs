//! The model as the training backend sees it.

use burn::module::{Module, Param};
use burn::tensor::activation::{relu, sigmoid, softplus};
use burn::tensor::{Device, Tensor, TensorData};

use super::{
    DAYS_AHEAD, DAYS_READ, Direction, Head, INPUT_LIMIT, SCALE_MIN, WEEK, WEEKS, WIDTH, Weights,
    scale_weights,
};
use crate::learn::random::Random;

/// One gate: `x · weight + h · recurrence + bias`.
#[derive(Module, Debug)]
struct Gate {
    weight: Param<Tensor<2>>,
    recurrence: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

/// One direction; input, forget, candidate, output. Gates apart, as slices of one product would
/// each fill a gradient of the whole.
#[derive(Module, Debug)]
struct Cell {
    gates: Vec<Gate>,
}

/// See [`super::Head`].
#[derive(Module, Debug)]
struct Layer {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

/// See [`super::Weights`].
#[derive(Module, Debug)]
pub(super) struct Network {
    directions: Vec<Cell>,
    from_encoded: Layer,
    from_days: Param<Tensor<2>>,
    heads: Vec<Layer>,
    straight: Param<Tensor<2>>,
}

/// Windows ready to be read.
#[derive(Debug, Clone)]
pub(super) struct Scaled {
    /// `[DAYS_READ]` a window, row-major: ratio to the scale, less 1; 0 where unknown.
    pub(super) days: Vec<f32>,
    /// As many: 1 where known.
    pub(super) known: Vec<f32>,
    /// One a window.
    pub(super) scales: Vec<f32>,
}

impl Scaled {
    /// As the exported graph scales them.
    pub(super) fn of(values: &[f32], known: &[f32]) -> Self {
        let weights = scale_weights();
        let mut scaled = Self { days: vec![], known: known.to_vec(), scales: vec![] };
        for (values, known) in values.chunks(DAYS_READ).zip(known.chunks(DAYS_READ)) {
            let (mut sum, mut count) = (0.0, SCALE_MIN);
            for ((value, known), weight) in values.iter().zip(known).zip(&weights) {
                sum += value.abs() * known * weight;
                count += known * weight;
            }
            let scale = sum / count + SCALE_MIN;
            let ratio = |value: &f32| (value / scale).clamp(-INPUT_LIMIT, INPUT_LIMIT) - 1.0;
            scaled.days.extend(values.iter().zip(known).map(|(v, known)| ratio(v) * known));
            scaled.scales.push(scale);
        }
        scaled
    }
}

impl Network {
    pub(super) fn new(hidden: usize, wide: usize, random: &mut Random, device: &Device) -> Self {
        let cell = |random: &mut Random| {
            let limit = 1.0 / (hidden as f64).sqrt();
            let gates = (0..4).map(|gate| Gate {
                weight: drawn([2 * WEEK, hidden], limit, random, device),
                recurrence: drawn([hidden, hidden], limit, random, device),
                // A forget gate that is open at first remembers (Gers et al. 2000).
                bias: constant(hidden, if gate == 1 { 1.0 } else { 0.0 }, device),
            });
            Cell { gates: gates.collect() }
        };
        let directions = vec![cell(random), cell(random)];
        let limit = (3.0 / (2 * hidden + DAYS_READ) as f64).sqrt();
        let from_encoded = Layer {
            weight: drawn([2 * hidden, wide], limit, random, device),
            bias: constant(wide, 0.0, device),
        };
        let from_days = drawn([DAYS_READ, wide], limit, random, device);
        let small = 0.1 / (wide as f64).sqrt();
        let heads = [0.0, -2.0, -2.0].map(|bias| Layer {
            weight: drawn([wide, WIDTH], small, random, device),
            bias: constant(WIDTH, bias, device),
        });
        let straight = Param::from_tensor(tensor(seasonal_mean(), [DAYS_READ, WIDTH], device));
        Self { directions, from_encoded, from_days, heads: heads.into(), straight }
    }

    /// p50, and what p10 and p90 lie below and above it, scaled, `[batch, WIDTH]` each.
    pub(super) fn forward(&self, windows: &Scaled, device: &Device) -> [Tensor<2>; 3] {
        let batch = windows.scales.len();
        let days = tensor(windows.days.clone(), [batch, DAYS_READ], device);
        let ends = [false, true].map(|is_backward| {
            let cell = &self.directions[usize::from(is_backward)];
            let order: Vec<usize> = match is_backward {
                true => (0..WEEKS).rev().collect(),
                false => (0..WEEKS).collect(),
            };
            cell.last(windows, &order, device)
        });
        let encoded = Tensor::cat(ends.into(), 1);
        let wide = encoded.matmul(self.from_encoded.weight.val())
            + days.clone().matmul(self.from_days.val())
            + self.from_encoded.bias.val().unsqueeze::<2>();
        let wide = relu(wide);
        let head = |at: usize| {
            let head: &Layer = &self.heads[at];
            wide.clone().matmul(head.weight.val()) + head.bias.val().unsqueeze::<2>()
        };
        let middle = head(0) + days.matmul(self.straight.val()) + 1.0;
        [middle, softplus(head(1), 1.0), softplus(head(2), 1.0)]
    }

    pub(super) fn numbers(&self) -> Weights {
        let direction = |cell: &Cell| {
            let each =
                |of: &dyn Fn(&Gate) -> Vec<f32>| [0, 1, 2, 3].map(|gate| of(&cell.gates[gate]));
            Direction {
                weight: each(&|gate| numbers(gate.weight.val())),
                recurrence: each(&|gate| numbers(gate.recurrence.val())),
                bias: each(&|gate| numbers(gate.bias.val())),
            }
        };
        let head = |at: usize| Head {
            weight: numbers(self.heads[at].weight.val()),
            bias: numbers(self.heads[at].bias.val()),
        };
        let [rows, wide] = self.from_encoded.weight.val().dims();
        Weights {
            hidden: rows / 2,
            wide,
            directions: [direction(&self.directions[0]), direction(&self.directions[1])],
            from_encoded: numbers(self.from_encoded.weight.val()),
            from_days: numbers(self.from_days.val()),
            bias: numbers(self.from_encoded.bias.val()),
            heads: [head(0), head(1), head(2)],
            straight: numbers(self.straight.val()),
        }
    }
}

impl Cell {
    /// The state after the weeks in this order, `[batch, hidden]`.
    fn last(&self, windows: &Scaled, order: &[usize], device: &Device) -> Tensor<2> {
        let batch = windows.scales.len();
        let hidden = self.gates[0].bias.val().dims()[0];
        let mut state = Tensor::<2>::zeros([batch, hidden], device);
        let mut memory = Tensor::<2>::zeros([batch, hidden], device);
        for &week in order {
            let x = step(windows, week, device);
            let gate = |at: usize| {
                let gate: &Gate = &self.gates[at];
                x.clone().matmul(gate.weight.val())
                    + state.clone().matmul(gate.recurrence.val())
                    + gate.bias.val().unsqueeze::<2>()
            };
            let kept = sigmoid(gate(1)) * memory;
            memory = kept + sigmoid(gate(0)) * gate(2).tanh();
            state = sigmoid(gate(3)) * memory.clone().tanh();
        }
        state
    }
}

/// A week of all windows, `[batch, 2 · WEEK]`: cut before it becomes a tensor, at no cost to gradients.
fn step(windows: &Scaled, week: usize, device: &Device) -> Tensor<2> {
    let batch = windows.scales.len();
    let mut values = Vec::with_capacity(batch * 2 * WEEK);
    for row in 0..batch {
        let at = row * DAYS_READ + week * WEEK;
        values.extend_from_slice(&windows.days[at..at + WEEK]);
        values.extend_from_slice(&windows.known[at..at + WEEK]);
    }
    tensor(values, [batch, 2 * WEEK], device)
}

/// Weights by which a day ahead is the mean of the same day of the last four weeks, and a mean ahead
/// that of all of them: where learning begins.
fn seasonal_mean() -> Vec<f32> {
    const LAST: usize = 4;
    let mut weights = vec![0.0; DAYS_READ * WIDTH];
    for day in DAYS_READ - LAST * WEEK..DAYS_READ {
        for ahead in 0..WIDTH {
            let weight = &mut weights[day * WIDTH + ahead];
            if ahead >= DAYS_AHEAD {
                *weight = 1.0 / (LAST * WEEK) as f32;
            } else if day % WEEK == ahead % WEEK {
                *weight = 1.0 / LAST as f32;
            }
        }
    }
    weights
}

fn drawn(shape: [usize; 2], limit: f64, random: &mut Random, device: &Device) -> Param<Tensor<2>> {
    let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| random.symmetric(limit)).collect();
    Param::from_tensor(tensor(values, shape, device))
}

fn constant(length: usize, value: f64, device: &Device) -> Param<Tensor<1>> {
    Param::from_tensor(Tensor::full([length], value, device))
}

/// A tensor of these values, row-major.
pub(super) fn tensor(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// A tensor's values, row-major.
pub(super) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("every tensor here is made of f32")
}
