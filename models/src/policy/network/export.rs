//! The learned network as an ONNX graph.

use super::fit::Weights;
use super::{COST, PRICE, PRICES, SITUATION, VIOLATIONS};
use crate::onnx::graph::GraphBuilder;

/// A file that reads [`SITUATION`] and [`PRICE`] and says [`COST`] and [`VIOLATIONS`].
pub(super) fn export(weights: &Weights, name: &str) -> Vec<u8> {
    let [situation_width, first, ..] = weights.widths;
    let mut g = GraphBuilder::new(name);
    // One of the inputs is the price.
    let situation = g.input(SITUATION, &[situation_width - 1]);
    let price = g.input(PRICE, &[1]);
    let price = g.clamp(&price, PRICES.0 as f32, PRICES.1 as f32);
    let price = g.log(&price);
    let half = g.scalar((0.5 * PRICES.1.ln()) as f32);
    let price = g.div(&price, &half);
    let one = g.scalar(1.0);
    let price = g.sub(&price, &one);
    let mut value = g.concat(&[&situation, &price], 1);
    let mut width = situation_width;
    let outputs = weights.widths[3];
    for (at, (weight, bias)) in weights.layers.iter().enumerate() {
        let next = weights.widths[at + 1];
        let (a, b) = (g.constant(weight, &[width, next]), g.constant(bias, &[next]));
        value = g.gemm(&value, &a, &b);
        if at + 1 < weights.layers.len() {
            value = g.relu(&value);
        }
        width = next;
    }
    debug_assert!(first > 0 && width == outputs);
    let actions = outputs / 2;
    // Its halves, as products with constants that pick and scale them.
    for (name, from, scale) in [(COST, 0, weights.cost_scale), (VIOLATIONS, actions, 1.0)] {
        let mut pick = vec![0.0; outputs * actions];
        for action in 0..actions {
            pick[(from + action) * actions + action] = scale;
        }
        let pick = g.constant(&pick, &[outputs, actions]);
        let half = g.matmul(&value, &pick);
        g.output(name, &half, &[actions]);
    }
    g.into_bytes(vec![("architecture".to_owned(), "q-network".to_owned())])
}
