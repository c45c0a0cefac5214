//! The learned model as an ONNX graph, its scaling within.

use super::{
    DAYS_READ, Direction, Head, INPUT_LIMIT, KNOWN, OUTPUTS, SCALE_MIN, VALUES, WEEK, WEEKS, WIDTH,
    Weights, scale_weights,
};
use crate::onnx::graph::{GraphBuilder, Value};

/// The gates in the operator's order (input, output, forget, candidate), of ours (input, forget,
/// candidate, output).
const GATES: [usize; 4] = [0, 3, 1, 2];

/// A file that reads [`VALUES`] and [`KNOWN`] and says [`OUTPUTS`].
pub(super) fn export(weights: &Weights) -> Vec<u8> {
    let mut g = GraphBuilder::new("bilstm");
    let values = g.input(VALUES, &[DAYS_READ]);
    let known = g.input(KNOWN, &[DAYS_READ]);

    // The weighted mean of what is known: sums as products with a constant.
    let sizes = g.abs(&values);
    let sizes = g.mul(&sizes, &known);
    let shares = g.constant(&scale_weights(), &[DAYS_READ, 1]);
    let sum = g.matmul(&sizes, &shares);
    let least = g.scalar(SCALE_MIN);
    let count = g.matmul(&known, &shares);
    let count = g.add(&count, &least);
    let scale = g.div(&sum, &count);
    let scale = g.add(&scale, &least);

    let ratio = g.div(&values, &scale);
    let ratio = g.clip(&ratio, INPUT_LIMIT);
    let one = g.scalar(1.0);
    let days = g.sub(&ratio, &one);
    let days = g.mul(&days, &known);

    let encoded = encoded(&mut g, weights, (&days, &known));
    let width = weights.wide;
    let a = g.constant(&weights.from_encoded, &[2 * weights.hidden, width]);
    let b = g.constant(&weights.from_days, &[DAYS_READ, width]);
    let bias = g.constant(&weights.bias, &[width]);
    let from_encoded = g.gemm(&encoded, &a, &bias);
    let from_days = g.matmul(&days, &b);
    let wide = g.add(&from_encoded, &from_days);
    let wide = g.relu(&wide);

    let [middle, below, above] = &weights.heads;
    let middle = head(&mut g, &wide, middle, width);
    let straight = g.constant(&weights.straight, &[DAYS_READ, WIDTH]);
    let straight = g.matmul(&days, &straight);
    let middle = g.add(&middle, &straight);
    let middle = g.add(&middle, &one);
    let below = head(&mut g, &wide, below, width);
    let below = g.softplus(&below);
    let above = head(&mut g, &wide, above, width);
    let above = g.softplus(&above);
    let p10 = g.sub(&middle, &below);
    let p90 = g.add(&middle, &above);
    for (name, quantile) in OUTPUTS.iter().zip([&p10, &middle, &p90]) {
        let said = g.mul(quantile, &scale);
        g.output(name, &said, &[WIDTH]);
    }
    g.into_bytes(vec![("architecture".to_owned(), "bilstm".to_owned())])
}

/// The last states of both directions, `[batch, 2 · hidden]`.
fn encoded(g: &mut GraphBuilder, weights: &Weights, (days, known): (&Value, &Value)) -> Value {
    let days = g.reshape(days, &[WEEKS, WEEK]);
    let known = g.reshape(known, &[WEEKS, WEEK]);
    let steps = g.concat(&[&days, &known], 2);
    let steps = g.transpose(&steps, &[1, 0, 2]);
    let hidden = weights.hidden;
    let all = |of: &dyn Fn(&Direction) -> Vec<f32>| -> Vec<f32> {
        weights.directions.iter().flat_map(of).collect()
    };
    // The operator's weights are ours transposed, gate after gate.
    let weight = all(&|direction| gates(&direction.weight, 2 * WEEK, hidden));
    let recurrence = all(&|direction| gates(&direction.recurrence, hidden, hidden));
    let bias = all(&|direction| {
        let mut bias: Vec<f32> =
            GATES.iter().flat_map(|gate| direction.bias[*gate].clone()).collect();
        // The operator has a second bias for the recurrence.
        bias.resize(8 * hidden, 0.0);
        bias
    });
    let weight = g.constant(&weight, &[2, 4 * hidden, 2 * WEEK]);
    let recurrence = g.constant(&recurrence, &[2, 4 * hidden, hidden]);
    let bias = g.constant(&bias, &[2, 8 * hidden]);
    let states = g.bidirectional_lstm(&steps, (&weight, &recurrence, &bias), hidden);
    let states = g.transpose(&states, &[1, 0, 2]);
    g.reshape(&states, &[2 * hidden])
}

/// `[inputs, hidden]` for each gate to `[4 · hidden, inputs]` in the operator's order.
fn gates(ours: &[Vec<f32>; 4], inputs: usize, hidden: usize) -> Vec<f32> {
    let transposed = |gate: &usize| {
        let of_gate = &ours[*gate];
        let rows = (0..hidden).flat_map(move |unit| (0..inputs).map(move |input| (unit, input)));
        rows.map(|(unit, input)| of_gate[input * hidden + unit]).collect::<Vec<f32>>()
    };
    GATES.iter().flat_map(transposed).collect()
}

fn head(g: &mut GraphBuilder, wide: &Value, head: &Head, width: usize) -> Value {
    let weight = g.constant(&head.weight, &[width, WIDTH]);
    let bias = g.constant(&head.bias, &[WIDTH]);
    g.gemm(wide, &weight, &bias)
}
