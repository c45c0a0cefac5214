//! What is done without a model, as probabilities: each rule with what it was worth in the past.

use cloudops_operators::utilisation::rule::Verdict;

use crate::Result;
use crate::learn::logistic::Logistic;
use crate::zombie::learner::best_f1;
use crate::zombie::sample::ZombieSamples;

/// A rule's name in tables, and what it says.
pub type Rule = (&'static str, fn(&Verdict) -> bool);

/// Every day of fourteen idle: *idle now*.
pub const IDLE: Rule = ("rule-idle", |verdict| verdict.idle);
/// AWS Trusted Advisor's check of low utilisation.
pub const LOW: Rule = ("rule-low-utilisation", |verdict| verdict.low_utilisation);

/// What a baseline says of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Its name in tables.
    pub model: String,
    /// One a row.
    pub probability: Vec<f64>,
    /// Whether it names the row.
    pub flags: Vec<bool>,
    /// Where it was chosen from probabilities.
    pub threshold: Option<f64>,
}

/// A rule on rows to be judged; its probabilities are the shares of positive rows among those that it
/// named, and did not name, in the past.
#[must_use]
pub fn rule(rule: Rule, model: &str, past: &ZombieSamples, judged: &ZombieSamples) -> Said {
    let share = |named: bool| {
        let of = past.verdicts.iter().zip(&past.labels).filter(|(v, _)| rule.1(v) == named);
        let positive = of.clone().filter(|(_, label)| **label).count() as f64;
        // Laplace's rule: what has never happened is not impossible.
        (positive + 1.0) / (of.count() as f64 + 2.0)
    };
    let shares = [share(false), share(true)];
    let flags: Vec<bool> = judged.verdicts.iter().map(rule.1).collect();
    let probability = flags.iter().map(|flag| shares[usize::from(*flag)]).collect();
    Said { model: model.to_owned(), probability, flags, threshold: None }
}

/// Logistic regression on the same features, its threshold where F1 was greatest on the rows fitted.
///
/// # Errors
/// [`crate::Error::Data`] when rows of one class are missing.
pub fn regression(past: &ZombieSamples, judged: &ZombieSamples) -> Result<Said> {
    let (table, judged) = (past.table()?, judged.table()?);
    let model = Logistic::fit(&table, &past.labels)?;
    let fitted: Vec<f64> = (0..table.len()).map(|row| model.probability(table.row(row))).collect();
    let threshold = best_f1(&fitted, &past.labels);
    let probability: Vec<f64> =
        (0..judged.len()).map(|row| model.probability(judged.row(row))).collect();
    let flags = probability.iter().map(|said| *said >= threshold).collect();
    let (model, threshold) = ("logistic-regression".to_owned(), Some(threshold));
    Ok(Said { model, probability, flags, threshold })
}
