//! The card as Markdown.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use super::ModelCard;
use crate::scorer::Scheme;

pub(super) fn write(card: &ModelCard) -> String {
    let mut out = Text::default();
    out.line(format!("# {}", card.info.id.name));
    out.line("");
    out.line(summary(card));
    model(&mut out, card);
    data(&mut out, card);
    curve(&mut out, card);
    calibration(&mut out, card);
    batches(&mut out, card);
    evaluation(&mut out, card);
    use_and_limits(&mut out, card);
    reproduce(&mut out, card);
    out.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref());
        self.0.push('\n');
    }

    fn section(&mut self, title: &str) {
        self.line(format!("\n## {title}\n"));
    }

    fn table(&mut self, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        self.line(format!("| {} |", head.join(" | ")));
        self.line(format!("|{}", "---|".repeat(head.len())));
        for row in rows {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            self.line(format!("| {} |", cells.join(" | ")));
        }
    }
}

fn summary(card: &ModelCard) -> String {
    let (info, shape) = (&card.info, shape(card));
    format!(
        "Version `{}`. An anomaly score for {shape} ({}), higher is stranger; by a model of the family \
         `{}`.",
        info.id.version,
        plural(info.channels.len(), "channel"),
        card.architecture
    )
}

fn shape(card: &ModelCard) -> String {
    match card.info.steps {
        0 | 1 => "feature vectors".to_owned(),
        steps => format!("windows of {steps} steps"),
    }
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn model(out: &mut Text, card: &ModelCard) {
    let info = &card.info;
    out.section("Model");
    let mut rows = vec![
        vec!["architecture".into(), card.architecture.clone()],
        vec![
            "input".into(),
            format!("{} × {}", shape(card), plural(info.channels.len(), "channel")),
        ],
        vec!["latent dimensions".into(), info.latents.to_string()],
    ];
    if let Some(parameters) = card.parameters {
        rows.push(vec!["learned parameters".into(), parameters.to_string()]);
    }
    if let Some(weights) = &info.weights {
        rows.push(vec![
            "score".into(),
            format!(
                "{} · reconstruction error + {} · KL divergence + {}",
                number(weights.reconstruction.into()),
                number(weights.kl.into()),
                number(weights.offset.into())
            ),
        ]);
    }
    out.table(&["", ""], rows);
    if !card.specification.is_null() {
        out.line("\nDeclared as:\n\n```json");
        out.line(format!("{:#}", card.specification));
        out.line("```");
    }
}

fn data(out: &mut Text, card: &ModelCard) {
    let info = &card.info;
    out.section("Data");
    match &card.data {
        None => out.line("What it was learned from is not recorded."),
        Some(data) => {
            let mut rows = vec![
                vec!["source".into(), data.source.clone()],
                vec!["windows to learn from".into(), data.train_windows.to_string()],
                vec!["windows held out".into(), data.holdout_windows.to_string()],
                vec!["windows to calibrate on".into(), data.calibration_windows.to_string()],
            ];
            if let Some((from, to)) = data.offsets {
                rows.push(vec!["offsets".into(), format!("{from} to {to}")]);
            }
            if let Some((from, to)) = data.time_range {
                rows.push(vec!["event time".into(), format!("{} to {}", time(from), time(to))]);
            }
            if let Some(fingerprint) = &data.fingerprint {
                rows.push(vec!["SHA-256 of the values".into(), format!("`{fingerprint}`")]);
            }
            out.table(&["", ""], rows);
        }
    }
    if !info.channel_mean.is_empty() && info.channel_mean.len() == info.channel_std.len() {
        out.line("");
        let statistics = info.channel_mean.iter().zip(&info.channel_std);
        out.table(
            &["channel", "mean", "standard deviation"],
            info.channels.iter().zip(statistics).map(|(channel, (mean, std))| {
                vec![channel.clone(), number((*mean).into()), number((*std).into())]
            }),
        );
    } else {
        let channels: Vec<String> = info.channels.iter().map(|name| format!("`{name}`")).collect();
        out.line(format!("\nChannels: {}.", channels.join(", ")));
    }
}

fn curve(out: &mut Text, card: &ModelCard) {
    let Some(best) = card.best_pass() else { return };
    out.section("Training");
    out.line(format!(
        "{}; the one kept is pass {}, with a held-out loss of {}.\n",
        plural(card.curve.len(), "pass").replace("passs", "passes"),
        best.epoch,
        number(best.holdout)
    ));
    out.line("![training curve](card.svg)\n");
    // At most a dozen rows, evenly, and always the last and the best.
    let every = card.curve.len().div_ceil(10);
    let last = card.curve.len() - 1;
    let shown = card
        .curve
        .iter()
        .enumerate()
        .filter(|(at, point)| at % every == 0 || *at == last || point.epoch == best.epoch);
    out.table(
        &["pass", "training loss", "held-out loss"],
        shown.map(|(_, point)| {
            vec![point.epoch.to_string(), number(point.train), number(point.holdout)]
        }),
    );
}

fn calibration(out: &mut Text, card: &ModelCard) {
    out.section("Calibration");
    if card.info.score_quantiles.is_empty() {
        out.line("None: a static threshold must be given as a score, not as a quantile.");
        return;
    }
    out.line("Scores of the calibration data, which are taken to be healthy:\n");
    let rows = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0];
    out.table(
        &["quantile", "score"],
        rows.into_iter().map(|quantile| {
            let score = card.info.score_quantile(quantile).map_or(f64::NAN, f64::from);
            vec![quantile.to_string(), number(score)]
        }),
    );
}

fn batches(out: &mut Text, card: &ModelCard) {
    let Some(found) = &card.invariance else { return };
    out.section("Repeatability");
    let sizes: Vec<String> = found.batches.iter().map(ToString::to_string).collect();
    let tried = if sizes.is_empty() { "the graph's own size".into() } else { sizes.join(", ") };
    out.line(format!(
        "{} scored alone, in order, shifted and shuffled, in batches of {tried}: {}",
        plural(found.rows, "window"),
        if found.holds() {
            "every output had the same bits every time."
        } else {
            "outputs varied in their last bits."
        }
    ));
    if !found.holds() {
        out.line("");
        out.table(
            &["output", "windows that varied"],
            found.varying.iter().map(|(name, rows)| vec![name.clone(), rows.to_string()]),
        );
    }
    out.line(match found.scheme {
        Scheme::Tiles => "\nIt is scored in tiles of any size.",
        Scheme::FullTiles => {
            "\nIt is scored in full tiles of one size, in which its bits do not vary."
        }
        Scheme::Rows => "\nIt is scored one window at a time, which is slow.",
    });
}

fn evaluation(out: &mut Text, card: &ModelCard) {
    let columns: BTreeSet<&String> =
        card.evaluation.iter().filter_map(Value::as_object).flat_map(|row| row.keys()).collect();
    if columns.is_empty() {
        return;
    }
    out.section("Evaluation");
    let columns: Vec<&str> = columns.into_iter().map(String::as_str).collect();
    let cell = |value: Option<&Value>| match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.as_f64().map_or_else(|| value.to_string(), number),
    };
    out.table(
        &columns,
        card.evaluation
            .iter()
            .map(|row| columns.iter().map(|column| cell(row.get(column))).collect()),
    );
}

fn use_and_limits(out: &mut Text, card: &ModelCard) {
    let info = &card.info;
    out.section("Use and limits");
    out.line(format!(
        "- For {} with these channels in this order and these units; anything else is refused or \
         means nothing.",
        shape(card)
    ));
    if card.data.is_some() {
        out.line(
            "- What it has not seen it calls strange: a new mode of operation scores high although \
             nothing is broken.",
        );
        out.line(
            "- If the data it was learned from held faults, it takes such faults for healthy.",
        );
    }
    if info.weights.is_none() {
        out.line("- Its score is taken as it comes: its parts are unknown, so it is not explained by them.");
    }
    if card.evaluation.is_empty() {
        out.line("- It was not evaluated on labelled data.");
    }
    let constant: Vec<String> = (info.channels.iter().zip(&info.channel_std))
        .filter(|(_, std)| **std == 0.0)
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if !constant.is_empty() {
        out.line(format!(
            "- Constant in the data it was learned from, so any change in them is strange: {}.",
            constant.join(", ")
        ));
    }
}

fn reproduce(out: &mut Text, card: &ModelCard) {
    if card.reproduce.is_empty() {
        return;
    }
    out.section("Reproduce");
    out.line("```sh");
    for command in &card.reproduce {
        out.line(command);
    }
    out.line("```");
}

/// Four significant digits, without an exponent where that stays short.
fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() || value.fract() == 0.0 && value.abs() < 1e15 {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-4..=9).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let digits = (3 - magnitude).max(0) as usize;
    format!("{value:.digits$}")
}

/// A date and time, UTC, by the proleptic Gregorian calendar
/// ([Hinnant 2013](https://howardhinnant.github.io/date_algorithms.html)).
fn time(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let mut text = String::new();
    write!(
        text,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
    .expect("a string takes any text");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_off_the_calendar() {
        for (micros, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00Z"),
            (1_767_225_599_999_999, "2025-12-31T23:59:59Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(time(micros), expected);
        }
    }

    #[test]
    fn numbers_keep_four_digits() {
        for (value, expected) in [
            (0.012345, "0.01235"),
            (1234.6, "1235"),
            (1.0, "1"),
            (2.5e-7, "2.500e-7"),
            (-3.14259, "-3.143"),
        ] {
            assert_eq!(number(value), expected);
        }
    }
}
