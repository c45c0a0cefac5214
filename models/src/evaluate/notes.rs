//! What a reader of an evaluation must know to judge its figures.

use std::fmt;

use cloudops_operators::threshold::ThresholdConfig;

use super::degradation::{HEALTHY_SHARE, NEAR_FAILURE_CYCLES};
use super::detector::Setup;
use super::metrics::VUS_WINDOW;
use super::sensor::{Options, SensorSet};
use super::series::HOLDOUT_SHARE;

/// A command line of `cloudops evaluate`: what differs from the defaults.
pub(super) struct Command {
    pub(super) what: &'static str,
    pub(super) sets: Option<Vec<&'static str>>,
    pub(super) models: Option<Vec<&'static str>>,
    pub(super) seed: Option<u64>,
    pub(super) quick: bool,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cloudops evaluate {} --data DIR", self.what)?;
        for (flag, names) in [("sets", &self.sets), ("models", &self.models)] {
            if let Some(names) = names {
                write!(f, " --{flag} {}", names.join(","))?;
            }
        }
        if let Some(seed) = self.seed {
            write!(f, " --seed {seed}")?;
        }
        if self.quick { f.write_str(" --quick") } else { Ok(()) }
    }
}

/// The command that gives the same evaluation; `DIR` stands for the data's directory.
pub(super) fn command(options: &Options) -> String {
    let defaults = Options::default();
    let sets = options.sets.iter().map(|set| set.name());
    let models = options.models.iter().map(|model| model.name());
    Command {
        what: "sensor",
        sets: (options.sets != defaults.sets).then(|| sets.collect()),
        models: (options.models != defaults.models).then(|| models.collect()),
        seed: (options.seed != defaults.seed).then_some(options.seed),
        quick: options.quick,
    }
    .to_string()
}

/// The set-up in sentences; `found` is how many entities each set had.
pub(super) fn notes(found: &[(SensorSet, usize)], options: &Options) -> Vec<String> {
    let threshold = ThresholdConfig::default();
    let mut notes = vec![
        "Every model is trained, exported to ONNX and scored by ONNX Runtime, as the product does \
         it. All get the same windows, one a row; a row's score is that of the window that ends \
         with it."
            .to_owned(),
        "Nothing was tuned on test labels. Window lengths and batch sizes are fixed by set, a \
         priori; the bounds on passes, the latents and β were chosen on training rows alone (by \
         held-out loss, and by synthetic faults in held-out rows), though after a first run with \
         defaults had been seen. No point-adjust."
            .to_owned(),
        format!(
            "The last {:.0} % of every healthy stretch is held out, by time: it stops the training \
             and calibrates the score and the static threshold (its {:.1}th percentile). The \
             adaptive threshold is the product's operator with its defaults, warmed up on the \
             held-out rows where the judged series continues them.",
            100.0 * HOLDOUT_SHARE,
            100.0 * threshold.static_quantile
        ),
        format!(
            "FPR, event F1 and false episodes are at the product's default policy ({:?}); an event \
             is a run of labelled rows, an episode a run of flagged rows, and they meet by one \
             shared row. FPR is the share of unlabelled rows flagged.",
            threshold.policy
        ),
        format!(
            "VUS-PR as the packages `vus` and `TSB-AD` compute it, tolerance {VUS_WINDOW} rows, \
             for all sets; AUPRC is average precision. HitRate@P% is by labelled segment: channels \
             ranked by their error summed over the segment's rows."
        ),
    ];
    notes.extend(found.iter().map(|&(set, entities)| of_set(set, entities, options)));
    if options.quick {
        notes.push(
            "A quick run: two entities a set, short training. Not for comparison.".to_owned(),
        );
    }
    notes
}

fn of_set(set: SensorSet, entities: usize, options: &Options) -> String {
    let Setup { steps, epochs, batch_size, max_windows, latents, beta } =
        Setup::of(set, options.quick);
    let what = match set {
        SensorSet::Smd => {
            "machines; each learned from its own first half, judged on its second".to_owned()
        }
        SensorSet::Skab => format!(
            "experiments; each learned from its own first {} rows, healthy by the benchmark's \
             protocol, judged on the rest",
            super::load::SKAB_HEALTHY_ROWS
        ),
        SensorSet::Nab => "series; each learned from its probationary part (the first 15 %, of \
                           5,000 rows at most), judged on the rest"
            .to_owned(),
        SensorSet::Cmapss => format!(
            "fleet; of ten engines five are learned from, two calibrated on and three judged; \
             healthy is the first {:.0} % of a life, near failure its last {NEAR_FAILURE_CYCLES} \
             cycles; detected is an engine with a flagged window after the healthy phase, its lead \
             time counts from the first",
            100.0 * HEALTHY_SHARE
        ),
    };
    format!(
        "{set}: {entities} {what}. Windows of {steps} rows, at most {epochs} passes over at most \
         {max_windows} of them, {batch_size} at a time; VAEs with {latents} latents, β {beta}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::specification::Architecture;

    #[test]
    fn the_command_repeats_what_is_not_default() {
        assert_eq!(command(&Options::default()), "cloudops evaluate sensor --data DIR");
        let options = Options {
            sets: vec![SensorSet::Smd, SensorSet::Nab],
            models: vec![Architecture::Pca],
            quick: true,
            seed: 7,
            ..Options::default()
        };
        let want =
            "cloudops evaluate sensor --data DIR --sets smd,nab --models pca --seed 7 --quick";
        assert_eq!(command(&options), want);
    }
}
