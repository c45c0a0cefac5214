//! What is told of a forest's file, generated from the file alone.

use std::fmt::Write;

use cloudops_operators::utilisation::verdict::Policy;

use super::{LearnedFrom, Limits};
use crate::learn::forest::{SHARE_STEPS, TREES_MAX};
use crate::onnx::forest::read;
use crate::onnx::metadata::{self, LEARNED_FROM, LIMITS};
use crate::specification::{Input, schema_hash};
use crate::{Result, registry};

/// Why writing into a card's text may be expected to succeed.
const INFALLIBLE: &str = "writing to a string does not fail";

/// The card of a file, as Markdown.
///
/// # Errors
/// [`crate::Error::Model`] when the file is none of a forest, or does not say what it was learned from.
pub fn card(onnx: &[u8]) -> Result<String> {
    let file = read(onnx)?;
    let limits: Limits = metadata::entry(onnx, LIMITS)?;
    let learned: LearnedFrom = metadata::entry(onnx, LEARNED_FROM)?;
    let features = schema_hash(Input::Features, 1, &file.forest.features);
    let id = registry::id_of(&file.name, &registry::digest(onnx));
    let nodes: usize = file.forest.trees().iter().map(|tree| tree.nodes().len()).sum();
    let mut text = format!(
        "# {}\n\nGenerated, never typed: all of it is in the file.\n\nVersion `{}`. Which resources are idle and \
         will stay so: a random forest over {} features of the last four weeks. A positive row: \
         `{}`.\n\n## Model\n\n| | |\n|---|---|\n",
        file.name,
        id.version,
        file.forest.features.len(),
        file.target,
    );
    let calibration = file.calibration;
    let mut rows = vec![
        ("trees".to_owned(), file.forest.trees().len().to_string()),
        ("nodes".to_owned(), nodes.to_string()),
        ("bytes".to_owned(), onnx.len().to_string()),
        ("SHA-256".to_owned(), format!("`{}`", registry::digest(onnx))),
        ("SHA-256 of the features' names".to_owned(), format!("`{features}`")),
        (
            "probability".to_owned(),
            format!(
                "1 / (1 + exp(−({:.4} · ln(score / (1 − score)) + {:.4})))",
                calibration.slope, calibration.offset
            ),
        ),
        ("named from, F1 greatest".to_owned(), limits.balanced.to_string()),
    ];
    for policy in Policy::ALL {
        let at = limits.action.get(&policy).copied().unwrap_or(f64::NAN);
        rows.push((
            format!("termination proposed from, policy `{}`", policy.name()),
            at.to_string(),
        ));
    }
    table(&mut text, &rows);
    text.push_str("\n## Data\n\n| | |\n|---|---|\n");
    let rows = [
        ("source".to_owned(), learned.source),
        ("resources".to_owned(), learned.resources.to_string()),
        ("rows".to_owned(), learned.rows.to_string()),
        ("positive".to_owned(), learned.positive.to_string()),
        ("SHA-256 of rows and labels".to_owned(), format!("`{}`", learned.fingerprint)),
        ("Brier score out of bag".to_owned(), learned.brier.to_string()),
    ];
    table(&mut text, &rows);
    let names: Vec<String> = file.forest.features.iter().map(|name| format!("`{name}`")).collect();
    let names = names.join(", ");
    write!(
        text,
        "\nFeatures, in this order: {names}.\n\n## Use and limits\n\n\
         - Thresholds and calibration come from rows out of bag, and say what they say of fleets like those \
         learned from; real fleets are stranger. `models/evaluation/zombie.md` has this model on real \
         machines as `shipped`, beside the rules in use and forests learned there.\n\
         - A termination is proposed where the probability reaches the policy's limit and no evidence of \
         use speaks against it. Where connections of clients are not measured, the guarded policies \
         propose nothing: a licence server then looks like a zombie.\n\
         - A job that runs less often than once a month looks like a zombie in all rows there are.\n\
         - A score is exact, in whatever batch: leaves' shares are multiples of 1/{SHARE_STEPS}, of at most \
         {TREES_MAX} trees. Contributions sum to it exactly.\n"
    )
    .expect(INFALLIBLE);
    if !learned.command.is_empty() {
        write!(text, "\n## Reproduce\n\n```sh\n{}\n```\n", learned.command).expect(INFALLIBLE);
    }
    Ok(text)
}

fn table(text: &mut String, rows: &[(String, String)]) {
    for (name, value) in rows {
        writeln!(text, "| {name} | {value} |").expect(INFALLIBLE);
    }
}
