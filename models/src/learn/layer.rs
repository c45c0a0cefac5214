//! Learned layers as plain numbers: what the trainer hands over and the export writes.

/// `y = x · weight + bias`
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    /// Width of `x`.
    pub inputs: usize,
    /// Width of `y`.
    pub outputs: usize,
    /// `[inputs, outputs]`
    pub weight: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
}

/// A convolution over steps without padding, or the transposed one.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Its reach in steps and what it does to the length.
    pub reach: Reach,
    /// `[outputs, inputs, kernel]`; transposed: `[inputs, outputs, kernel]`.
    pub weight: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
}

/// How a convolution moves over its input, and how the transposed one undoes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Steps it sees at once.
    pub kernel: usize,
    /// Steps from one position to the next.
    pub stride: usize,
    /// Length of its input.
    pub long: usize,
    /// Length of its output.
    pub short: usize,
}

impl Reach {
    /// Kernel 4, stride 2, or all that is left of a short input. No padding: every output is a
    /// function of steps that exist, and a window's borders are seen like its middle.
    #[must_use]
    pub fn halving(long: usize) -> Self {
        let (kernel, stride) = (long.min(4), 2);
        Self { kernel, stride, long, short: (long - kernel) / stride + 1 }
    }

    /// Steps at the end of the long side that the transposed convolution must add, since no
    /// position of the kernel reached them.
    #[must_use]
    pub fn padding_out(&self) -> usize {
        self.long - ((self.short - 1) * self.stride + self.kernel)
    }

    /// The reaches of `layers` such convolutions, one behind the other.
    #[must_use]
    pub fn chain(steps: usize, layers: usize) -> Vec<Self> {
        let mut chain = Vec::with_capacity(layers);
        let mut long = steps;
        for _ in 0..layers {
            let reach = Self::halving(long);
            long = reach.short;
            chain.push(reach);
        }
        chain
    }
}

/// Layer normalisation: each step to mean 0 and variance 1 over its width, then scaled.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// `[width]`
    pub gain: Vec<f32>,
    /// `[width]`
    pub bias: Vec<f32>,
}

/// Added to the variance in [`Norm`].
pub const NORM_EPSILON: f32 = 1e-5;

/// Heads of an attention.
pub const HEADS: usize = 4;

/// A Transformer encoder block, normalising first: `x + attend(norm x)`, then `x + ff(norm x)`
/// (Vaswani et al. 2017; pre-norm after Xiong et al. 2020).
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Before the attention.
    pub attend_norm: Norm,
    /// To queries.
    pub query: Affine,
    /// To keys.
    pub key: Affine,
    /// To values.
    pub value: Affine,
    /// Of the heads' results, side by side.
    pub merge: Affine,
    /// Before the feed-forward layers.
    pub forward_norm: Norm,
    /// To the feed-forward width; ReLU follows.
    pub widen: Affine,
    /// Back to the model's width.
    pub narrow: Affine,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_convolution_gives_back_the_length() {
        for steps in 1..200 {
            for reach in Reach::chain(steps, 4) {
                assert!(reach.short >= 1);
                let back = (reach.short - 1) * reach.stride + reach.kernel + reach.padding_out();
                assert_eq!(back, reach.long);
                assert!(reach.padding_out() < reach.stride);
            }
        }
    }
}
