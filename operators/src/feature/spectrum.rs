//! Energy of a window's frequency bands, for a few channels side by side.
//!
//! A real discrete Fourier transform by definition, folded twice: for an even
//! number of steps the two halves are added (even frequencies) and subtracted
//! (odd ones), then steps `t` and `m − t` meet the same cosine and the same or
//! opposite sine. An eighth of the products remain, all over contiguous lanes,
//! which beats a fast transform at the lengths of windows. Steps of angle come
//! from our own sine, since those of C libraries differ between processors.

use std::f64::consts::FRAC_PI_4;

/// Channels worked on side by side.
pub(super) const LANES: usize = 8;

/// One value of each of a few channels.
pub(super) type Lanes = [f64; LANES];

/// The transform for windows of one length.
#[derive(Debug)]
pub(super) struct Spectrum {
    /// (cos, sin) of `2π k / steps`.
    turns: Vec<(f64, f64)>,
    even: Folded,
    odd: Folded,
    half: Vec<Lanes>,
}

/// A sequence folded about its middle; element `t − 1` of each list belongs to step `t`.
#[derive(Debug, Default)]
struct Folded {
    first: Lanes,
    plus: Vec<Lanes>,
    minus: Vec<Lanes>,
}

impl Spectrum {
    pub(super) fn new(steps: usize) -> Self {
        let turns = (0..steps).map(|k| turn(k, steps)).collect();
        Self { turns, even: Folded::default(), odd: Folded::default(), half: Vec::new() }
    }

    pub(super) fn steps(&self) -> usize {
        self.turns.len()
    }

    /// The energies of `energies.len()` equal bands over the frequencies above 0, such that they
    /// sum to the population variance (Parseval). `deviations` are the values less their mean.
    ///
    /// Of `f = steps / 2` frequencies, the `k`-th (from 1) lies in band `(k − 1) · bands / f`.
    pub(super) fn bands(&mut self, deviations: &[Lanes], energies: &mut [Lanes]) {
        energies.fill([0.0; LANES]);
        let steps = deviations.len();
        let halves = steps.is_multiple_of(2);
        if halves {
            let (front, back) = deviations.split_at(steps / 2);
            self.half.clear();
            self.half.extend(front.iter().zip(back).map(|(a, b)| each(a, b, |a, b| a + b)));
            self.even.fold(&self.half);
            self.half.clear();
            self.half.extend(front.iter().zip(back).map(|(a, b)| each(a, b, |a, b| a - b)));
            self.odd.fold(&self.half);
        } else {
            self.even.fold(deviations);
        }
        let frequencies = steps / 2;
        for k in 1..=frequencies {
            let (re, im) = if halves && k % 2 == 1 {
                // Half a turn lies between steps t and m − t at odd frequencies.
                transform(k, &self.turns, &self.odd.first, &self.odd.minus, &self.odd.plus)
            } else {
                transform(k, &self.turns, &self.even.first, &self.even.plus, &self.even.minus)
            };
            // Each frequency stands for its mirror image too, but the last of an even number.
            let mirrored = if 2 * k == steps { 1.0 } else { 2.0 };
            let scale = mirrored / (steps * steps) as f64;
            let energy = &mut energies[(k - 1) * energies.len() / frequencies];
            for lane in 0..LANES {
                energy[lane] += (re[lane] * re[lane] + im[lane] * im[lane]) * scale;
            }
        }
    }
}

impl Folded {
    fn fold(&mut self, values: &[Lanes]) {
        let count = values.len();
        self.plus.clear();
        self.minus.clear();
        self.first = values[0];
        for step in 1..=count / 2 {
            let (a, b) = (&values[step], &values[count - step]);
            if 2 * step == count {
                // The middle is its own mirror image.
                self.plus.push(*a);
                self.minus.push([0.0; LANES]);
            } else {
                self.plus.push(each(a, b, |a, b| a + b));
                self.minus.push(each(a, b, |a, b| a - b));
            }
        }
    }
}

/// Real and imaginary part (its sign aside) at frequency `k`.
#[inline]
fn transform(
    k: usize,
    turns: &[(f64, f64)],
    first: &Lanes,
    cosines: &[Lanes],
    sines: &[Lanes],
) -> (Lanes, Lanes) {
    let (mut re, mut im) = (*first, [0.0; LANES]);
    let mut angle = 0;
    for (a, b) in cosines.iter().zip(sines) {
        angle += k;
        if angle >= turns.len() {
            angle -= turns.len();
        }
        let (cos, sin) = turns[angle];
        for lane in 0..LANES {
            re[lane] += a[lane] * cos;
            im[lane] += b[lane] * sin;
        }
    }
    (re, im)
}

#[inline]
fn each(a: &Lanes, b: &Lanes, with: impl Fn(f64, f64) -> f64) -> Lanes {
    let mut result = [0.0; LANES];
    for lane in 0..LANES {
        result[lane] = with(a[lane], b[lane]);
    }
    result
}

/// Cosine and sine of `k / n` of a turn, within 2 units in the last place.
fn turn(k: usize, n: usize) -> (f64, f64) {
    let (eighth, rest) = (8 * k / n, 8 * k % n);
    // Odd eighths are measured back from their end, so that the angle is at most π/4.
    let part = if eighth % 2 == 0 { rest } else { n - rest };
    let x = FRAC_PI_4 * part as f64 / n as f64;
    let (c, s) = (cosine(x), sine(x));
    match eighth {
        0 => (c, s),
        1 => (s, c),
        2 => (-s, c),
        3 => (-c, s),
        4 => (-c, -s),
        5 => (-s, -c),
        6 => (s, -c),
        _ => (c, -s),
    }
}

/// Taylor's series up to `x¹⁷`, for `0 ≤ x ≤ π/4`.
fn sine(x: f64) -> f64 {
    let square = x * x;
    let mut sum = 1.0;
    for j in (1..=8).rev() {
        sum = 1.0 - sum * square / f64::from((2 * j) * (2 * j + 1));
    }
    sum * x
}

/// Taylor's series up to `x¹⁸`, for `0 ≤ x ≤ π/4`.
fn cosine(x: f64) -> f64 {
    let square = x * x;
    let mut sum = 1.0;
    for j in (1..=9).rev() {
        sum = 1.0 - sum * square / f64::from((2 * j - 1) * (2 * j));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_agree_with_the_library() {
        for n in [1, 2, 3, 7, 30, 97, 1_024] {
            for k in 0..n {
                let (cos, sin) = turn(k, n);
                let angle = std::f64::consts::TAU * k as f64 / n as f64;
                assert!((cos - angle.cos()).abs() < 1e-14, "cos {k}/{n}");
                assert!((sin - angle.sin()).abs() < 1e-14, "sin {k}/{n}");
            }
        }
    }

    /// The transform by definition, unfolded.
    fn energy(values: &[f64], k: usize) -> f64 {
        let n = values.len() as f64;
        let (mut re, mut im) = (0.0, 0.0);
        for (t, value) in values.iter().enumerate() {
            let angle = std::f64::consts::TAU * (k * t) as f64 / n;
            re += value * angle.cos();
            im += value * angle.sin();
        }
        (re * re + im * im) / (n * n) * if 2 * k == values.len() { 1.0 } else { 2.0 }
    }

    #[test]
    fn folding_changes_nothing_and_bands_sum_to_the_variance() {
        for steps in 1..50 {
            let mut values: Vec<f64> =
                (0..steps).map(|t| ((t * t * 37 + 11 * t) % 101) as f64).collect();
            let mean = values.iter().sum::<f64>() / steps as f64;
            values.iter_mut().for_each(|value| *value -= mean);
            let variance = values.iter().map(|value| value * value).sum::<f64>() / steps as f64;
            let lanes: Vec<Lanes> = values.iter().map(|value| [*value; LANES]).collect();
            let mut spectrum = Spectrum::new(steps);
            let frequencies = steps / 2;
            let mut found = vec![[0.0; LANES]; frequencies.max(1)];
            spectrum.bands(&lanes, &mut found);
            for k in 1..=frequencies {
                let wanted = energy(&values, k);
                assert!((found[k - 1][3] - wanted).abs() < 1e-9, "{k} of {steps}");
            }
            let mut bands = [[0.0; LANES]; 4];
            spectrum.bands(&lanes, &mut bands);
            let sum: f64 = bands.iter().map(|band| band[0]).sum();
            assert!((sum - variance).abs() < 1e-9, "{steps} steps");
        }
    }
}
