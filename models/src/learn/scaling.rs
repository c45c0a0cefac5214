//! Raw values to standardised ones, channel by channel.

use crate::samples::Samples;

/// Standardised values are clamped to this on their way into a model (±): one broken sensor must
/// not drown the others in the latent, nor one outlier the gradients.
pub const INPUT_LIMIT: f32 = 10.0;

/// A channel's standard deviation is at least this share of its mean's magnitude: `f32` noise on a
/// constant 500 is no signal.
const STD_SHARE_MIN: f64 = 1e-5;

/// Mean and standard deviation of each channel, of the training windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// `[channels]`
    pub mean: Vec<f32>,
    /// `[channels]`, positive. 1 for a channel that never moved in training: how much a move of it
    /// means is unknown, so it counts in its own unit rather than as infinitely strange.
    pub std: Vec<f32>,
    /// The scaling of entities that have one of their own; of plain vectors only.
    pub personal: Personal,
}

/// Scalings of entities that were seen often enough; the others have the fleet's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Personal {
    /// Whose, ascending.
    pub names: Vec<String>,
    /// `[names, channels]`
    pub mean: Vec<f32>,
    /// `[names, channels]`, positive.
    pub std: Vec<f32>,
}

/// An entity with fewer training windows has no scaling of its own.
pub const PERSONAL_WINDOWS_MIN: usize = 20;

/// The fleet counts like so many windows of an entity's own: a channel that an entity never moved is
/// the stranger the rarer it moves in the fleet, and no entity's scaling rests on a few windows alone.
///
/// Attacks found at 2 false alerts per thousand windows, mean of `evaluate audit` with seeds 11 to 13
/// (which its report does not use): 20 gives 0.837, 500 0.897, 1,000 0.906, the fleet alone 0.818; at
/// 0.5 false alerts 0.328, 0.756, 0.769 and 0.770.
const FLEET_WINDOWS: f64 = 1_000.0;

impl Personal {
    /// The moments of each entity's windows, mixed with the fleet's.
    fn fit(samples: &Samples, fleet: &[(f64, f64)]) -> Self {
        let mut personal = Self::default();
        let Some(entities) = &samples.entities else { return personal };
        let mut windows: Vec<Vec<usize>> = vec![Vec::new(); entities.names.len()];
        for (at, of) in entities.of.iter().enumerate() {
            windows[*of as usize].push(at);
        }
        let mut by_name: Vec<_> = entities.names.iter().zip(&windows).collect();
        by_name.sort_unstable();
        for (name, windows) in by_name {
            if windows.len() < PERSONAL_WINDOWS_MIN {
                continue;
            }
            let values = windows.iter().flat_map(|at| samples.window(*at)).copied().collect();
            let own = moments(&Samples::new(samples.steps, samples.channels, values));
            let share = windows.len() as f64 / (windows.len() as f64 + FLEET_WINDOWS);
            let mixed: Vec<(f64, f64)> = own
                .iter()
                .zip(fleet)
                .map(|((own, own_std), (all, all_std))| {
                    let mean = share * own + (1.0 - share) * all;
                    let part = |mean_of: &f64, std: &f64| std * std + (mean_of - mean).powi(2);
                    let variance = share * part(own, own_std) + (1.0 - share) * part(all, all_std);
                    (mean, variance.sqrt())
                })
                .collect();
            let (mean, std) = plain(&mixed);
            personal.names.push(name.clone());
            personal.mean.extend(mean);
            personal.std.extend(std);
        }
        personal
    }
}

/// Means, and standard deviations that can be divided by.
fn plain(moments: &[(f64, f64)]) -> (Vec<f32>, Vec<f32>) {
    let std = |(mean, std): &(f64, f64)| {
        let std = if *std > mean.abs() * STD_SHARE_MIN { *std as f32 } else { 1.0 };
        if std > f32::MIN_POSITIVE { std } else { 1.0 }
    };
    (moments.iter().map(|(mean, _)| *mean as f32).collect(), moments.iter().map(std).collect())
}

impl Scaling {
    /// The scaling of these samples, one for all.
    #[must_use]
    pub fn fit(samples: &Samples) -> Self {
        let (mean, std) = plain(&moments(samples));
        Self { mean, std, personal: Personal::default() }
    }

    /// The scaling of these samples, and of each entity with [`PERSONAL_WINDOWS_MIN`] windows.
    #[must_use]
    pub fn fit_personal(samples: &Samples) -> Self {
        let fleet = moments(samples);
        let (mean, std) = plain(&fleet);
        Self { mean, std, personal: Personal::fit(samples, &fleet) }
    }

    /// The scaling of one of the samples' windows.
    #[must_use]
    pub fn of(&self, samples: &Samples, at: usize) -> Moments<'_> {
        let channels = self.mean.len();
        let names = &self.personal.names;
        let name = samples.entity(at).filter(|_| !names.is_empty());
        let own = |name: &str| names.binary_search_by(|own| own.as_str().cmp(name)).ok();
        let known = name.and_then(own);
        match known {
            Some(at) => {
                let range = at * channels..(at + 1) * channels;
                Moments { mean: &self.personal.mean[range.clone()], std: &self.personal.std[range] }
            }
            None => Moments { mean: &self.mean, std: &self.std },
        }
    }

    /// A table of the fleet's row and each entity's own behind it, `[1 + names, channels]`: means, and
    /// standard deviations.
    #[must_use]
    pub fn tables(&self) -> (Vec<f32>, Vec<f32>) {
        let table = |fleet: &[f32], own: &[f32]| [fleet, own].concat();
        (table(&self.mean, &self.personal.mean), table(&self.std, &self.personal.std))
    }

    /// What the graph multiplies by.
    #[must_use]
    pub fn inverse_std(&self) -> Vec<f32> {
        self.std.iter().map(|std| 1.0 / std).collect()
    }

    /// Standardises the samples' windows, clamped to ±`limit`, exactly as the graph does.
    #[must_use]
    pub fn standardise(&self, samples: &Samples, limit: f32) -> Vec<f32> {
        self.standardised(samples, &samples.values, limit)
    }

    /// Standardises what belongs to the samples' windows, as many whole steps each.
    #[must_use]
    pub fn standardised(&self, samples: &Samples, values: &[f32], limit: f32) -> Vec<f32> {
        let width = (values.len() / samples.len().max(1)).max(1);
        let windows = values.chunks_exact(width).enumerate();
        windows.flat_map(|(at, values)| self.of(samples, at).standardise(values, limit)).collect()
    }
}

/// Mean and standard deviation of each channel.
#[derive(Debug, Clone, Copy)]
pub struct Moments<'a> {
    mean: &'a [f32],
    std: &'a [f32],
}

impl Moments<'_> {
    /// Standardises whole steps, clamped to ±`limit`, exactly as the graph does.
    #[must_use]
    pub fn standardise(&self, values: &[f32], limit: f32) -> Vec<f32> {
        let channels = self.mean.len();
        let values = values.iter().enumerate();
        let standardised = values.map(|(at, value)| {
            let channel = at % channels;
            ((value - self.mean[channel]) * (1.0 / self.std[channel])).clamp(-limit, limit)
        });
        standardised.collect()
    }

    /// Back to the channels' own units.
    #[must_use]
    pub fn restore(&self, standardised: &[f32]) -> Vec<f32> {
        let channels = self.mean.len();
        let values = standardised.iter().enumerate();
        values
            .map(|(at, value)| value * self.std[at % channels] + self.mean[at % channels])
            .collect()
    }
}

/// Mean and population standard deviation of each channel, over all steps of all windows.
#[must_use]
pub fn moments(samples: &Samples) -> Vec<(f64, f64)> {
    let channels = samples.channels;
    let steps = (samples.values.len() / channels.max(1)).max(1) as f64;
    let mut mean = vec![0.0; channels];
    for step in samples.values.chunks_exact(channels) {
        for (sum, value) in mean.iter_mut().zip(step) {
            *sum += f64::from(*value);
        }
    }
    mean.iter_mut().for_each(|sum| *sum /= steps);
    let mut square = vec![0.0; channels];
    for step in samples.values.chunks_exact(channels) {
        for ((sum, value), mean) in square.iter_mut().zip(step).zip(&mean) {
            *sum += (f64::from(*value) - mean).powi(2);
        }
    }
    mean.into_iter().zip(square.into_iter().map(|sum| (sum / steps).sqrt())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::Entities;

    #[test]
    fn constant_channels_and_outliers_stay_finite() {
        let samples = Samples::new(
            2,
            3,
            vec![500.0, 1.0, 0.0, 500.0, 3.0, 0.0, 500.0, 1.0, 0.0, 500.0, 3.0, 0.0],
        );
        let scaling = Scaling::fit(&samples);
        assert_eq!(scaling.mean, [500.0, 2.0, 0.0]);
        assert_eq!(scaling.std, [1.0, 1.0, 1.0]);
        let samples = Samples::new(1, 3, vec![502.0, 3.0, f32::MAX]);
        let out = scaling.standardise(&samples, INPUT_LIMIT);
        assert_eq!(out, [2.0, 1.0, INPUT_LIMIT]);
        assert_eq!(scaling.of(&samples, 0).restore(&out)[..2], [502.0, 3.0]);
    }

    #[test]
    fn an_entity_seen_often_has_a_scaling_of_its_own() {
        // ann's values are about 10, never moving much; bob is seen too seldom.
        let mut values = vec![0.0_f32; 100];
        values[..50].iter_mut().enumerate().for_each(|(at, v)| *v = 10.0 + (at % 2) as f32);
        let entities = Entities {
            names: vec!["ann".into(), "bob".into(), "cat".into()],
            of: (0..100).map(|at| if at < 50 { 0 } else { 1 + u32::from(at >= 55) }).collect(),
        };
        let samples = Samples::new(1, 1, values).of(entities);
        let scaling = Scaling::fit_personal(&samples);
        assert_eq!(scaling.personal.names, ["ann", "cat"]);
        let [ann, cat] = [scaling.personal.mean[0], scaling.personal.mean[1]];
        assert!(cat < scaling.mean[0] && scaling.mean[0] < ann);
        assert!(scaling.personal.std.iter().all(|std| *std < scaling.std[0]));
        let asked = Samples::new(1, 1, vec![10.5, 10.5])
            .of(Entities { names: vec!["ann".into(), "new".into()], of: vec![0, 1] });
        let out = scaling.standardise(&asked, INPUT_LIMIT);
        assert_eq!(out[1], (10.5 - scaling.mean[0]) * (1.0 / scaling.std[0]));
        assert_ne!(out[0], out[1]);
        let back = |at: usize| scaling.of(&asked, at).restore(&out[at..=at])[0];
        assert!([0, 1].iter().all(|at| (back(*at) - 10.5).abs() < 1e-5));
    }
}
