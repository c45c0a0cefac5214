//! Q-learning with a small network, as an ONNX file: one network for every price.
//!
//! From a situation's numbers and a price it says what each action will cost and violate, means a step.
//! Fitted Q-iteration (Ernst, Geurts & Wehenkel 2005; Riedmiller 2005) over transitions that were drawn
//! once; the price is an input, as weights of preference are in conditioned networks (Abels et al. 2019,
//! [arXiv:1809.07803](https://arxiv.org/abs/1809.07803)).

use ort::session::Session;
use ort::value::TensorRef;

use super::tabular::least;
use super::{Problem, Tally, add};
use crate::scorer::plain_session;
use crate::{Error, Result};

#[cfg(feature = "train")]
mod export;
#[cfg(feature = "train")]
mod fit;

#[cfg(feature = "train")]
pub use fit::{LearnedNetwork, NetworkTraining, learn};

/// The graph's inputs: a situation's numbers, and what a violation is worth.
pub const SITUATION: &str = "situation";
/// See [`SITUATION`].
pub const PRICE: &str = "price";
/// Its outputs, one value an action.
pub const COST: &str = "cost";
/// See [`COST`].
pub const VIOLATIONS: &str = "violations";
/// The lowest and the highest price that is learned for; others are taken for the nearest.
pub const PRICES: (f64, f64) = (1.0, 4096.0);

/// A learned network in ONNX Runtime.
#[derive(Debug)]
pub struct QNetwork {
    session: Session,
}

impl QNetwork {
    /// The network of a file that [`learn`] exported.
    ///
    /// # Errors
    /// [`Error::Runtime`] when the runtime cannot be loaded or refuses the file.
    pub fn open(onnx: &[u8]) -> Result<Self> {
        Ok(Self { session: plain_session(onnx)? })
    }

    /// Cost and violations of every action, for situations row after row and a price for each.
    ///
    /// # Errors
    /// [`Error::Runtime`] when the runtime fails: situations have other numbers than the network, say.
    pub fn run(&mut self, situations: &[f32], prices: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
        let failed = |error: ort::Error| Error::Runtime(error.to_string());
        let rows = prices.len();
        let shape = [rows, situations.len() / rows.max(1)];
        let situations = TensorRef::from_array_view((shape, situations)).map_err(failed)?;
        let prices = TensorRef::from_array_view(([rows, 1], prices)).map_err(failed)?;
        let inputs = ort::inputs![SITUATION => situations, PRICE => prices];
        let outputs = self.session.run(inputs).map_err(failed)?;
        let output = |name: &str| -> Result<Vec<f32>> {
            let output = outputs
                .get(name)
                .ok_or_else(|| Error::Runtime(format!("the model has no output `{name}`")))?;
            Ok(output.try_extract_tensor::<f32>().map_err(failed)?.1.to_vec())
        };
        Ok((output(COST)?, output(VIOLATIONS)?))
    }

    /// Plays problems to their ends, all of them side by side, at each of these prices: for each price what
    /// [`super::play`] gives.
    ///
    /// # Errors
    /// [`Error::Runtime`] when the runtime fails.
    pub fn play<P: Problem>(
        &mut self,
        problems: &[P],
        block: usize,
        prices: &[f64],
    ) -> Result<Vec<Vec<Tally>>> {
        // By price and problem.
        let mut blocks = vec![vec![Vec::new(); problems.len()]; prices.len()];
        let mut running: Vec<(usize, usize, P)> = (0..prices.len())
            .flat_map(|price| {
                problems.iter().enumerate().map(move |(at, problem)| (price, at, problem.clone()))
            })
            .collect();
        let actions = P::ACTIONS.len();
        let mut situations = Vec::with_capacity(running.len() * P::FEATURES);
        while !running.is_empty() {
            situations.clear();
            running.iter().for_each(|(_, _, problem)| problem.features(&mut situations));
            let each: Vec<f32> = running.iter().map(|(price, ..)| prices[*price] as f32).collect();
            let (cost, violations) = self.run(&situations, &each)?;
            let mut said = cost.chunks(actions).zip(violations.chunks(actions));
            running.retain_mut(|(price, at, problem)| {
                let (cost, violations) = said.next().expect("the network says a row for each");
                let worth = prices[*price];
                let priced = cost.iter().zip(violations);
                let action = least(priced.map(|(c, v)| f64::from(*c) + worth * f64::from(*v)));
                let step = problem.act(action);
                if let Some(step) = &step {
                    add(&mut blocks[*price][*at], block, step);
                }
                step.is_some()
            });
        }
        Ok(blocks.into_iter().map(|of_price| of_price.concat()).collect())
    }
}
