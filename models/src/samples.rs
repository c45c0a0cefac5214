//! Windows as training sees them: a dense block of raw values.

use crate::specification::Specification;
use crate::{Error, Result};

/// Windows, in their own units, ordered by time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// Steps of a window; 1 for plain vectors.
    pub steps: usize,
    /// Channels of a step (features of a vector).
    pub channels: usize,
    /// `[n, steps, channels]`, row-major: step `t`, channel `c` of window `i` is element
    /// `(i * steps + t) * channels + c`. Finite.
    pub values: Vec<f32>,
    /// `[n, horizon, channels]`: what followed each window; only where the model forecasts. Finite.
    pub future: Option<Vec<f32>>,
    /// Whose windows they are; only where that is known.
    pub entities: Option<Entities>,
}

/// Whose windows samples are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entities {
    /// Their names, distinct.
    pub names: Vec<String>,
    /// `[n]`, for each window an index into `names`.
    pub of: Vec<u32>,
}

impl Samples {
    /// Samples without a future.
    #[must_use]
    pub fn new(steps: usize, channels: usize, values: Vec<f32>) -> Self {
        Self { steps, channels, values, future: None, entities: None }
    }

    /// The same samples, of which it is known whose they are.
    #[must_use]
    pub fn of(mut self, entities: Entities) -> Self {
        self.entities = Some(entities);
        self
    }

    /// The name of a window's entity, where it is known.
    #[must_use]
    pub fn entity(&self, at: usize) -> Option<&str> {
        let entities = self.entities.as_ref()?;
        entities.names.get(*entities.of.get(at)? as usize).map(String::as_str)
    }

    /// Values in one window.
    #[must_use]
    pub fn width(&self) -> usize {
        self.steps * self.channels
    }

    /// How many windows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width()).unwrap_or(0)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of one window, `[steps, channels]`.
    #[must_use]
    pub fn window(&self, at: usize) -> &[f32] {
        &self.values[at * self.width()..(at + 1) * self.width()]
    }

    /// Every k-th window, k the least that leaves no more than `most` of them.
    ///
    /// Overlapping neighbours say nearly the same, so an even thinning loses less than its share.
    #[must_use]
    pub fn thinned(&self, most: usize) -> Self {
        let every = self.len().div_ceil(most.max(1)).max(1);
        let pick = |values: &[f32], width: usize| -> Vec<f32> {
            values.chunks_exact(width.max(1)).step_by(every).flatten().copied().collect()
        };
        Self {
            steps: self.steps,
            channels: self.channels,
            values: pick(&self.values, self.width()),
            future: self
                .future
                .as_ref()
                .map(|future| pick(future, future.len() / self.len().max(1))),
            entities: self.entities.as_ref().map(|entities| Entities {
                names: entities.names.clone(),
                of: entities.of.iter().step_by(every).copied().collect(),
            }),
        }
    }

    /// Refuses samples that the specification cannot be learned from.
    ///
    /// # Errors
    /// [`Error::Data`], saying which (`what`) samples and what is wrong with them.
    pub fn check(&self, specification: &Specification, what: &str) -> Result<()> {
        let fail = |reason: String| Err(Error::Data(format!("{what} samples: {reason}")));
        let (steps, channels) = (specification.steps, specification.channels.len());
        if (self.steps, self.channels) != (steps, channels) {
            return fail(format!(
                "windows are {} × {}, but the specification says {steps} steps × {channels} channels",
                self.steps, self.channels
            ));
        }
        if self.is_empty() {
            return fail("there are none".into());
        }
        if self.values.len() != self.len() * self.width() {
            return fail(format!("{} values are no whole number of windows", self.values.len()));
        }
        if let Some(at) = self.values.iter().position(|value| !value.is_finite()) {
            return fail(format!(
                "window {} holds a value that is not finite in channel `{}`",
                at / self.width(),
                specification.channels[at % channels]
            ));
        }
        if let Some(entities) = &self.entities
            && (entities.of.len() != self.len()
                || entities.of.iter().any(|at| *at as usize >= entities.names.len()))
        {
            return fail("not every window has an entity that is named".into());
        }
        let Some(forecast) = &specification.forecast else { return Ok(()) };
        match &self.future {
            None => fail("the specification forecasts, but no future is given".into()),
            Some(future) if future.len() != self.len() * forecast.horizon * channels => {
                fail(format!(
                    "the future holds {} values, {} windows × {} steps × {channels} channels need {}",
                    future.len(),
                    self.len(),
                    forecast.horizon,
                    self.len() * forecast.horizon * channels
                ))
            }
            Some(future) if future.iter().any(|value| !value.is_finite()) => {
                fail("the future holds a value that is not finite".into())
            }
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::specification::{Architecture, Forecast};

    #[test]
    fn thinning_keeps_windows_and_their_futures_together() {
        let samples = Samples {
            steps: 2,
            channels: 1,
            values: (0..14).map(|v| v as f32).collect(),
            future: Some((0..7).map(|v| v as f32 * 10.0).collect()),
            entities: Some(Entities {
                names: vec!["a".into(), "b".into()],
                of: vec![0, 0, 0, 1, 1, 1, 1],
            }),
        };
        let thin = samples.thinned(3);
        assert_eq!(thin.values, [0.0, 1.0, 6.0, 7.0, 12.0, 13.0]);
        assert_eq!(thin.future, Some(vec![0.0, 30.0, 60.0]));
        assert_eq!([0, 1, 2].map(|at| thin.entity(at).unwrap()), ["a", "b", "b"]);
        assert_eq!(samples.thinned(7), samples);
    }

    #[test]
    fn unfit_samples_are_refused_with_a_reason() {
        let mut spec =
            Specification::new(Architecture::MaxAbsZ, "m", 2, vec!["a".to_owned(), "b".to_owned()]);
        let refusal = |samples: &Samples, spec: &Specification| {
            samples.check(spec, "training").err().map(|error| error.to_string())
        };
        let good = Samples::new(2, 2, vec![0.0; 8]);
        assert_eq!(refusal(&good, &spec), None);
        let mut odd = good.clone();
        odd.values[5] = f32::NAN;
        assert!(refusal(&odd, &spec).unwrap().contains("window 1"));
        assert!(refusal(&odd, &spec).unwrap().contains("`b`"));
        odd.values.truncate(5);
        assert!(refusal(&odd, &spec).unwrap().contains("whole number"));
        assert!(refusal(&Samples::new(2, 2, vec![]), &spec).unwrap().contains("none"));
        assert!(refusal(&Samples::new(1, 2, vec![0.0; 2]), &spec).unwrap().contains("1 × 2"));
        spec.forecast = Some(Forecast { horizon: 1, weight: 1.0 });
        assert!(refusal(&good, &spec).unwrap().contains("no future"));
    }
}
