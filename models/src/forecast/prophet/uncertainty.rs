//! Bends to come, and noise: paths by which the future may deviate from the line.

use cloudops_operators::seeded::SplitMix64;

use super::Fitted;

impl Fitted {
    /// Paths of deviations from what [`Fitted::components`] says of days to come, rates a day.
    ///
    /// As in the paper (3.1.4): bends come as often as there were places for them, in proportion to
    /// time, and are as large on average as those that were found; noise is normal.
    pub(super) fn deviations(&self, days: &[i32], paths: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut random = SplitMix64::new(seed);
        let times: Vec<f64> = days.iter().map(|day| self.design.time(*day)).collect();
        let last = times.last().copied().unwrap_or(1.0);
        let bends = self.bends();
        let size = bends.iter().map(|bend| bend.abs()).sum::<f64>() / bends.len().max(1) as f64;
        let expected = self.design.changepoints() as f64 * (last - 1.0).max(0.0);
        let mut path = || {
            let count = poisson(&mut random, expected);
            let bends: Vec<(f64, f64)> = (0..count)
                .map(|_| {
                    let at = 1.0 + random.uniform() * (last - 1.0);
                    (at, laplace(&mut random, size))
                })
                .collect();
            let off = |time: &f64| {
                let trend: f64 = bends.iter().map(|(at, bend)| bend * (time - at).max(0.0)).sum();
                (trend + self.noise * normal(&mut random)) * self.scale
            };
            times.iter().map(off).collect()
        };
        (0..paths).map(|_| path()).collect()
    }
}

/// Knuth's method: exact, and quick for the few bends of a horizon.
fn poisson(random: &mut SplitMix64, expected: f64) -> usize {
    let limit = (-expected.min(500.0)).exp();
    let (mut count, mut product) = (0, random.uniform());
    while product > limit {
        count += 1;
        product *= random.uniform();
    }
    count
}

fn laplace(random: &mut SplitMix64, scale: f64) -> f64 {
    let place = random.uniform() - 0.5;
    -scale * place.signum() * (1.0 - 2.0 * place.abs()).max(f64::MIN_POSITIVE).ln()
}

/// Box & Muller.
fn normal(random: &mut SplitMix64) -> f64 {
    let radius = (-2.0 * (1.0 - random.uniform()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.uniform()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_moments_they_should() {
        let mut random = SplitMix64::new(5);
        let count = 40_000;
        let mean = |draw: &mut dyn FnMut() -> f64| {
            (0..count).map(|_| draw()).sum::<f64>() / f64::from(count)
        };
        let poissons = mean(&mut || poisson(&mut random, 3.0) as f64);
        assert!((poissons - 3.0).abs() < 0.05, "{poissons}");
        let sizes = mean(&mut || laplace(&mut random, 2.0).abs());
        assert!((sizes - 2.0).abs() < 0.05, "{sizes}");
        let squares = mean(&mut || normal(&mut random).powi(2));
        assert!((squares - 1.0).abs() < 0.05, "{squares}");
    }
}
