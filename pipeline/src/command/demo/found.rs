//! What the simulators injected, beside what the tables say.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use cloudops_datasets::simulate::{SpikeTruth, Truth};
use cloudops_sql::session::Session;
use futures_util::TryStreamExt;

/// A line for every injected fault, and one for the false alarms.
pub(super) async fn compare(session: &mut Session, truth: &Truth) -> Result<String> {
    let mut lines = engines(session, truth).await?;
    lines.extend(theft(session, truth).await?);
    lines.extend(spike(session, truth).await?);
    Ok(lines.join("\n"))
}

/// Engines: was each fault found after its onset, and does its channel come first?
async fn engines(session: &mut Session, truth: &Truth) -> Result<Vec<String>> {
    let rows = rows(
        session,
        "with opened as (
           select alert_id, entity_id, at,
                  row_number() over (partition by entity_id order by at) as nth
           from alerts where source = 'engines' and event = 'opened'),
         parts as (
           select alert_id, feature,
                  row_number() over (partition by alert_id order by value desc) as place
           from attributions
           where method = 'reconstruction' and feature not in ('baseline', 'latent_kl'))
         select o.entity_id, to_char(o.at, '%Y-%m-%dT%H:%M:%SZ'), coalesce(p.feature, '')
         from opened o left join parts p on o.alert_id = p.alert_id and p.place = 1
         order by o.entity_id, o.at",
    )
    .await?;
    let mut alerts: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for row in &rows {
        alerts.entry(&row[0]).or_default().push((&row[1], &row[2]));
    }
    let mut lines = Vec::new();
    let (mut found, mut named, mut early, mut healthy) = (0, 0, 0, 0);
    let faulty = truth.sensor.iter().filter(|engine| engine.onset.is_some()).count();
    for engine in &truth.sensor {
        let own = alerts.get(engine.entity.as_str()).map_or(&[][..], Vec::as_slice);
        let (Some(onset), Some(channel)) = (&engine.onset, &engine.faulty_channel) else {
            healthy += own.len();
            continue;
        };
        early += own.iter().filter(|(at, _)| instant(at) < instant(onset)).count();
        let first = own.iter().find(|(at, _)| instant(at) >= instant(onset));
        let text = match first {
            Some((at, top)) => {
                found += 1;
                named += usize::from(top == channel);
                format!("alert {at}, first channel {top}")
            }
            None => "not found".to_owned(),
        };
        lines.push(format!(
            "{}: {channel} fails from {onset}, engine stops {} | {text}",
            engine.entity, engine.end
        ));
    }
    lines.push(format!(
        "engines: {found} of {faulty} faults found, {named} with the faulty channel first; \
         {early} alerts before a fault, {healthy} on healthy engines"
    ));
    Ok(lines)
}

/// Audit: is the stolen key the strangest principal, in the hours of the theft?
async fn theft(session: &mut Session, truth: &Truth) -> Result<Vec<String>> {
    let Some(theft) = &truth.audit else { return Ok(Vec::new()) };
    let rows = rows(
        session,
        "select entity_id, to_char(window_start, '%Y-%m-%dT%H:%M:%SZ'),
                cast(score as varchar) as score_text, cast(is_anomaly as varchar) as flagged
         from audit_scores where source = 'principals' order by score desc limit 200",
    )
    .await?;
    let during = |row: &Vec<String>| {
        row[0] == theft.principal
            && instant(&row[1]) >= instant(&theft.start) - 3600
            && instant(&row[1]) <= instant(&theft.end)
    };
    let place = rows.iter().position(during).map_or("not among the first 200".to_owned(), |at| {
        format!("place {} of all windows by score", at + 1)
    });
    let others = rows.iter().filter(|row| row[3] == "true" && !during(row)).count();
    Ok(vec![format!(
        "audit: the key of {} is stolen {} | its strangest hour is {place}; {others} other windows flagged",
        theft.principal, theft.start
    )])
}

/// Cost: is the spike's day flagged for its account?
async fn spike(session: &mut Session, truth: &Truth) -> Result<Vec<String>> {
    let Some(cost) = &truth.cost else { return Ok(Vec::new()) };
    let spike = &cost.spike;
    let rows = rows(
        session,
        "select entity_id, to_char(window_start, '%Y-%m-%d'), coalesce(top_channel, ''),
                cast(is_anomaly as varchar) as flagged
         from cost_scores where source = 'bills' order by score desc",
    )
    .await?;
    let is_spike = |row: &Vec<String>| row[0] == spike.account && row[1] == spike.day;
    let place = rows.iter().position(is_spike);
    let others = rows.iter().filter(|row| row[3] == "true" && !is_spike(row)).count();
    let text = match place {
        Some(at) => format!(
            "place {} of {} account-days, {}, first feature {}",
            at + 1,
            rows.len(),
            if rows[at][3] == "true" { "flagged" } else { "not flagged" },
            rows[at][2]
        ),
        None => "not there".to_owned(),
    };
    let strange = strange_days(session, spike).await?;
    Ok(vec![
        format!(
            "cost: {} spends {} instead of {} on {} on {} | {text}; {others} other days flagged",
            spike.account, spike.billed, spike.normal, spike.service, spike.day
        ),
        format!("cost: the same | {strange}"),
    ])
}

/// Is the spike's day among those that came to more than was to be expected, and what of it did?
async fn strange_days(session: &mut Session, spike: &SpikeTruth) -> Result<String> {
    let rows = rows(
        session,
        "select a.entity_id, to_char(a.day, '%Y-%m-%d'), c.name, round(c.expected, 2),
                round(c.actual, 2)
         from cost_anomalies a
         join cost_causes c on c.anomaly_id = a.anomaly_id and c.dimension = 'service' and c.rank = 1
         where a.source = 'bills' and a.above_impact order by abs(a.deviation) desc",
    )
    .await?;
    let is_spike = |row: &&Vec<String>| row[0] == spike.account && row[1] == spike.day;
    Ok(match rows.iter().find(is_spike) {
        Some(row) => format!(
            "one of {} strange days; first cause {}, {} where {} was expected",
            rows.len(),
            row[2],
            row[4],
            row[3]
        ),
        None => format!("not among {} strange days", rows.len()),
    })
}

/// Seconds since 1970 of an RFC 3339 instant; the least for what is none.
fn instant(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).map_or(i64::MIN / 2, |instant| instant.timestamp())
}

/// A query's rows, every value as text.
async fn rows(session: &mut Session, query: &str) -> Result<Vec<Vec<String>>> {
    let batches: Vec<_> = session.query(query).await?.execute_stream().await?.try_collect().await?;
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| cast(column, &DataType::Utf8))
            .collect::<Result<Vec<_>, _>>()
            .context("reading the answer")?;
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|c| c.as_string::<i32>().value(row).to_owned()).collect());
        }
    }
    Ok(rows)
}
