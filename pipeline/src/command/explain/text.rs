//! An explanation for a person.

use serde_json::{Map, Value};

use super::{Attribution, Causes, Explanation, float};

/// Parts shown of each method, and records of the window.
const PARTS: usize = 12;
const RECORDS: usize = 12;
/// Channels shown of each record.
const CHANNELS: usize = 6;
/// Widest bar.
const BAR: f64 = 32.0;

pub(super) fn text(explanation: &Explanation) -> String {
    let Explanation { opened, closed, card, files, attributions, scores, window, records, .. } =
        explanation;
    let get = |name: &str| shown(opened.get(name));
    let mut text = format!("alert {}\n", get("alert_id"));
    let mut line = |name: &str, value: String| text += &format!("  {name:<12} {value}\n");
    line("entity", format!("{} of stream {} ({})", get("entity_id"), get("source"), get("kind")));
    let until = closed.as_ref().map_or_else(
        || "and is open".to_owned(),
        |closed| format!("closed {}", shown(closed.get("at"))),
    );
    line("opened", format!("{}, {until}", get("at")));
    if let Some(row) = &explanation.retracted {
        let at = shown(row.get("at"));
        line("retracted", format!("{at}: by then corrections had left no day strange"));
    }
    line("window", format!("{} to {}", get("window_start"), get("window_end")));
    let (score, limit) = (float(opened, "score"), float(opened, "threshold"));
    line("score", format!("{score:.4}, held against {limit:.4}: {:.2} times", score / limit));
    line("model", format!("{}@{}{}", get("model"), get("model_version"), facts(card.as_ref())));
    let offsets = format!(
        "partition {}, offsets {} to {}, epoch {}",
        get("partition"),
        get("offset_from"),
        get("offset_to"),
        get("epoch")
    );
    line("records", offsets);
    for file in files {
        line("", format!("{} records {} to {}", file.file, file.record_from, file.record_to));
    }
    for attribution in attributions {
        text += &divided(attribution);
    }
    text += &strange(explanation);
    text += &about(scores);
    if let Some(features) = window.as_ref().and_then(|window| window.get("features")) {
        text += &format!("\nfeatures\n  {features}\n");
    }
    if let Some(records) = records {
        text += &read_again(records, attributions);
    }
    text
}

/// The entity's scores about the time of the alert; nothing where there are none.
fn about(scores: &[Value]) -> String {
    if scores.is_empty() {
        return String::new();
    }
    let mut text = "\nscores about that time\n".to_owned();
    let most = scores.iter().filter_map(Value::as_object).map(|row| float(row, "score"));
    let most = most.fold(0.0, f64::max);
    for row in scores.iter().filter_map(Value::as_object) {
        let mark = match (row.get("here"), row.get("is_anomaly")) {
            (Some(Value::Bool(true)), _) => "◀ this alert",
            (_, Some(Value::Bool(true))) => "flagged",
            _ => "",
        };
        let score = float(row, "score");
        let end = shown(row.get("window_end"));
        text += format!("  {end:<27} {score:>12.4}  {:<32} {mark}", bar(score / most)).trim_end();
        text.push('\n');
    }
    text
}

/// The days of a cost anomaly's alert, and whose charges made the first of them; nothing of other alerts.
fn strange(explanation: &Explanation) -> String {
    let days: Vec<_> = explanation.anomalies.iter().filter_map(Value::as_object).collect();
    let Some(first) = days.first() else { return String::new() };
    let scope = match first.get("service").and_then(Value::as_str) {
        Some(service) => format!("service {service} alone"),
        None => "all services together".to_owned(),
    };
    let currency = shown(first.get("currency"));
    let mut text = format!("\nstrange days, {scope}, {currency}\n");
    let head = ["expected", "at close", "now", "deviation"];
    text += &format!("  {:<10}", "day");
    head.iter().for_each(|name| text += &format!(" {name:>14}"));
    text.push('\n');
    for row in &days {
        text += &format!("  {:<10}", shown(row.get("day")));
        for name in ["expected", "at_close", "actual", "deviation"] {
            text += &format!(" {:>14}", amount(row.get(name)));
        }
        let state = shown(row.get("state"));
        text += format!("  {}", if state == "open" { "" } else { &state }).trim_end();
        text.push('\n');
    }
    for Causes { dimension, parts } in &explanation.causes {
        text += &caused(dimension, parts);
    }
    text
}

/// What the names of a dimension have to do with a day, with bars.
fn caused(dimension: &str, parts: &[Value]) -> String {
    let parts: Vec<_> = parts.iter().filter_map(Value::as_object).collect();
    let deviation = |row: &Map<String, Value>| number(row.get("deviation"));
    let name = |row: &Map<String, Value>| match (row.get("name"), row.get("names")) {
        (Some(Value::String(name)), _) => name.clone(),
        (_, Some(names)) if names.as_i64() > Some(1) => format!("{names} more"),
        _ => "without one".to_owned(),
    };
    let mut text = format!("\nby {dimension}: deviation from what was expected\n");
    let width = parts.iter().map(|row| name(row).chars().count()).max().unwrap_or(0);
    let most = parts.iter().map(|row| deviation(row).abs()).fold(0.0, f64::max);
    for row in parts {
        let bar = bar(deviation(row).abs() / most);
        let bar = if deviation(row) < 0.0 { bar.replace('█', "░") } else { bar };
        let (name, amount) = (name(row), amount(row.get("deviation")));
        text += format!("  {name:<width$} {amount:>14}  {bar}").trim_end();
        text.push('\n');
    }
    text
}

/// An amount of money, which JSON has as text, as a number; `NaN` where there is none.
fn number(value: Option<&Value>) -> f64 {
    let number = value.and_then(|value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    });
    number.unwrap_or(f64::NAN)
}

/// An amount with cents.
fn amount(value: Option<&Value>) -> String {
    format!("{:.2}", number(value))
}

/// The window's records: the channels that explain most of the score, or all there is where the parts
/// of the score are no columns of the input.
fn read_again(records: &[Value], attributions: &[Attribution]) -> String {
    let mut text =
        format!("\nrecords of the window, read again from the input: {}\n", records.len());
    let first = records.first().and_then(Value::as_object);
    let parts = attributions.first().map_or(&[][..], |attribution| &attribution.parts);
    let columns = parts.iter().map(|part| part.feature.as_str());
    let columns = columns.filter(|name| first.is_some_and(|row| row.contains_key(*name)));
    let columns: Vec<&str> = columns.take(CHANNELS).collect();
    if !columns.is_empty() {
        text += &format!("  {:<27} {:>12}", "ts", "offset");
        columns.iter().for_each(|name| text += &format!(" {name:>14}"));
        text.push('\n');
    }
    for record in records.iter().take(RECORDS).filter_map(Value::as_object) {
        let get = |name: &str| shown(record.get(name));
        text += &format!("  {:<27} {:>12}", get("ts"), get("offset"));
        if columns.is_empty() {
            let told =
                |(name, _): &(&String, &Value)| !["ts", "offset", "entity_id"].contains(&&***name);
            let rest: Map<String, Value> = record
                .iter()
                .filter(told)
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            text += &format!("  {}", Value::Object(rest));
        }
        columns.iter().for_each(|name| text += &format!(" {:>14}", get(name)));
        text.push('\n');
    }
    if records.len() > RECORDS {
        text += &format!("  … {} more; --json shows all\n", records.len() - RECORDS);
    }
    text
}

/// One way of dividing the score, with bars.
fn divided(attribution: &Attribution) -> String {
    let Attribution { method, total, parts } = attribution;
    let mut text = format!("\nby {method}: {} parts, {total:.4} together\n", parts.len());
    let name = |part: &super::Part| match part.t_offset {
        Some(step) => format!("{} at step {step}", part.feature),
        None => part.feature.clone(),
    };
    let shown = &parts[..parts.len().min(PARTS)];
    let width = shown.iter().map(|part| name(part).chars().count()).max().unwrap_or(0);
    let most = shown.iter().map(|part| part.value.abs()).fold(0.0, f64::max);
    for part in shown {
        let bar = bar(part.value.abs() / most);
        let bar = if part.value < 0.0 { bar.replace('█', "░") } else { bar };
        let (name, share) = (name(part), 100.0 * part.share);
        text += format!("  {name:<width$} {:>12.4} {share:>6.1} %  {bar}", part.value).trim_end();
        text.push('\n');
    }
    if parts.len() > shown.len() {
        let rest: f64 = parts[shown.len()..].iter().map(|part| part.value).sum();
        let more = format!("{} more", parts.len() - shown.len());
        text += &format!("  {more:<width$} {rest:>12.4}\n");
    }
    text
}

fn bar(share: f64) -> String {
    let cells = if share.is_finite() { (share.clamp(0.0, 1.0) * BAR).round() } else { 0.0 };
    "█".repeat(cells as usize)
}

/// What a card says in a line.
fn facts(card: Option<&Value>) -> String {
    let Some(card) = card else { return String::new() };
    let mut facts = vec![shown(card.get("architecture"))];
    if let Some(parameters) = card.get("parameters").and_then(Value::as_u64) {
        facts.push(format!("{parameters} parameters"));
    }
    if let Some(data) = card.get("data").and_then(Value::as_object) {
        facts.push(format!("learned from {} windows", shown(data.get("train_windows"))));
        facts.extend(trained_on(data));
    }
    format!(" ({})", facts.join(", "))
}

/// The event times a model learned from.
fn trained_on(data: &Map<String, Value>) -> Option<String> {
    let range = data.get("time_range")?.as_array()?;
    let day = |at: usize| {
        let us = range.get(at)?.as_i64()?;
        Some(chrono::DateTime::from_timestamp_micros(us)?.date_naive().to_string())
    };
    Some(format!("{} to {}", day(0)?, day(1)?))
}

fn shown(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "unknown".to_owned(),
        Some(other) => other.to_string(),
    }
}
