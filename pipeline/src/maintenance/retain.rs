//! Rows whose time is over, a whole file at a time.

use std::time::Duration;

use cloudops_sql::catalog::record::{DataFile, Expire};
use cloudops_sql::catalog::state::State;
use cloudops_sql::table;

use super::micros;

/// Columns that tell when a row is of, by preference. A file's greatest value is in its commit.
const TIMES: &[&str] = &["window_end", "at", "period_end", "day", "ts", "event_time"];

const DAY_US: i64 = 86_400_000_000;

/// The files of a table in which every row is older than the table keeps them.
pub(super) fn expire(state: &State, table: &str, keep: Duration, now_us: i64) -> Option<Expire> {
    let before_us = now_us.saturating_sub(micros(keep));
    let column = time_column(table)?;
    let old = |file: &&std::sync::Arc<DataFile>| {
        latest_us(file, column).is_some_and(|latest| latest < before_us)
    };
    let removes: Vec<String> =
        state.files(table).iter().filter(old).map(|file| file.path.clone()).collect();
    (!removes.is_empty()).then(|| Expire {
        table: table.to_owned(),
        before_us,
        removes,
        expired_at_us: now_us,
    })
}

/// The column that says when a table's rows are of; `None` where its commits keep none.
pub(crate) fn time_column(table: &str) -> Option<&'static str> {
    let kept = table::statistics_columns(table);
    TIMES.iter().copied().find(|name| kept.contains(name))
}

/// The event time of a file's youngest row, µs since 1970, where it is known.
fn latest_us(file: &DataFile, column: &str) -> Option<i64> {
    let latest = file.columns.get(column)?.max.as_i64()?;
    if column == "day" { Some((latest + 1).saturating_mul(DAY_US)) } else { Some(latest) }
}
