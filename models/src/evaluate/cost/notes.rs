//! What a reader of a cost evaluation must know to judge its figures.

use super::super::notes::Command;
use super::{CostModel, CostOptions, CostSet};
use crate::forecast::backtest::{ORIGINS_MAX, STEP_DAYS};
use crate::forecast::champion::{MARGIN, ORIGINS_MIN};
use crate::forecast::combine::{COMBINED_DAYS, COMBINED_MONTHS};

/// The command that gives the same evaluation; `DIR` stands for the data's directory.
pub(super) fn command(options: &CostOptions) -> String {
    let defaults = CostOptions::default();
    let sets = options.sets.iter().map(|set| set.name());
    let models = options.models.iter().map(|model| model.name());
    Command {
        what: "cost",
        sets: (options.sets != defaults.sets).then(|| sets.collect()),
        models: (options.models != defaults.models).then(|| models.collect()),
        seed: (options.seed != defaults.seed).then_some(options.seed),
        quick: options.quick,
    }
    .to_string()
}

/// The set-up in sentences; `found` is how many series each set had.
pub(super) fn notes(found: &[(CostSet, usize)], options: &CostOptions) -> Vec<String> {
    let mut notes = vec![
        "Rolling origins: the first after 84 days (56 where a series is short), then every 7 days. \
         Of monthly series every month from the ninth on; 30, 60 and 90 days are then one, two and \
         three months. An origin counts for a horizon \
         when the whole of it lies behind the origin."
            .to_owned(),
        "At every origin each model is fitted to what was known there, its parameters, weights and \
         quantiles included. Days after the origin are used to judge the forecast and for nothing \
         else."
            .to_owned(),
        "wape_total: Σ |forecast − actual| of the horizon's total over Σ actual, over all origins: \
         the error of an account's month, as a fraction (0.08 is eight per cent). wape_daily: the \
         same of single days. mase: error of a day over that of repeating the week before within \
         the history. coverage_80: share of days within p10 and p90. bias: signed error of the \
         totals over Σ actual."
            .to_owned(),
        format!(
            "Quantiles of every model are calibrated by its own forecasts from up to {ORIGINS_MAX} \
             origins before, {STEP_DAYS} days apart; the ensemble's weights and the champion are \
             chosen by the same."
        ),
        format!(
            "ensemble: {}, of months {}, weighted by their past errors. The BiLSTM is the one that ships, \
             learned from simulated bills alone (`cloudops models pretrain`): no series of any set is \
             learned from. Which models are combined, and the constants of `robust`, were chosen \
             with the figures of these sets in view.",
            listed(&COMBINED_DAYS),
            listed(&COMBINED_MONTHS)
        ),
        "A day or month that a set lacks is filled from within the history for fitting, and judged \
         by nobody."
            .to_owned(),
    ];
    notes.extend(found.iter().map(|&(set, series)| of_set(set, series)));
    if options.quick {
        notes.push(
            "A quick run: two series a set, six origins a horizon. Not for comparison.".to_owned(),
        );
    }
    if options.models.contains(&CostModel::Champion) {
        notes.push(format!(
            "The champion is the ensemble unless one model was better by {:.0} % over at least \
                 {ORIGINS_MIN} origins before; every choice is a row of `cost-champions.json`.",
            100.0 * MARGIN
        ));
    }
    notes
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn of_set(set: CostSet, series: usize) -> String {
    let what = match set {
        CostSet::Mybinder => "daily bill in US dollars, in total, by category and by project",
        CostSet::Radian => {
            "monthly bill in US dollars, in total, by project and by service, where at least twelve \
             months cost something"
        }
        CostSet::Elec2 => "electricity price and demand, half-hours summed by day; a proxy",
        CostSet::Nab => "benchmark series that last months, summed by day; proxies",
        CostSet::Bitbrains => "utilisation of a fleet of machines by day; a proxy",
    };
    format!("{set}: {series} series. {}.", capital(what))
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|c| c.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_repeats_what_is_not_default() {
        assert_eq!(command(&CostOptions::default()), "cloudops evaluate cost --data DIR");
        let options = CostOptions {
            sets: vec![CostSet::Mybinder, CostSet::Nab],
            models: vec![CostModel::Ets],
            quick: true,
            seed: 7,
            ..CostOptions::default()
        };
        let want =
            "cloudops evaluate cost --data DIR --sets mybinder,nab --models ets --seed 7 --quick";
        assert_eq!(command(&options), want);
    }
}
