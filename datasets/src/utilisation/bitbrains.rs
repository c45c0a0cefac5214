//! GWA-T-12 Bitbrains Rnd (Shen, van Beek & Iosup, *Statistical characterization of business-critical
//! workloads hosted in cloud datacenters*, CCGrid 2015): virtual machines by the hour, July to September
//! 2013, and the verdicts of two rules on the last fourteen days of each month.
//!
//! Traffic is what the samples of an hour add up to: a mean rate times the seconds sampled. Connections
//! are not measured. No human has said which machine is idle: the labels are rules'.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};

use super::{CHANNELS, Recorded};
use crate::parquet_file::{batches, column};
use crate::{Error, Result};

const HOUR: i64 = 3_600;
/// Seconds of a sample.
const SAMPLE: f64 = 300.0;
/// KB of a MB.
const KILO: f64 = 1_024.0;
/// The columns read, in this order.
const COLUMNS: [&str; 11] = [
    "vm",
    "hour_epoch",
    "n",
    "cpu_pct_mean",
    "cpu_pct_max",
    "mem_cap_kb",
    "mem_kb_mean",
    "disk_r_kbs",
    "disk_w_kbs",
    "net_rx_kbs",
    "net_tx_kbs",
];

/// The rules' verdict on a machine's last fourteen days of a month.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Which machine, as [`Recorded::name`].
    pub vm: String,
    /// As the set names it, e.g. `2013-9`.
    pub month: String,
    /// CPU below 5 % at its peak and less than 5 MB of network traffic, every day.
    pub idle: bool,
    /// Mean CPU of at most 10 % and at most 5 MB on at least four days.
    pub low_utilisation: bool,
}

/// Loads every machine's hours from `hourly.parquet`, in order of their numbers.
///
/// # Errors
/// [`Error::Read`], [`Error::Columns`] and [`Error::Corrupt`], naming the file.
pub fn load(dir: &Path) -> Result<Vec<Recorded>> {
    let path = dir.join("hourly.parquet");
    let corrupt = |reason: String| Error::Corrupt { file: path.display().to_string(), reason };
    let mut machines: BTreeMap<i64, BTreeMap<i64, [f64; CHANNELS]>> = BTreeMap::new();
    for batch in batches(&path)? {
        let number = |name: &&str| {
            let column = column(&batch, name, &DataType::Float64, &path)?;
            Ok(column.as_primitive::<Float64Type>().clone())
        };
        let columns: Vec<Float64Array> = COLUMNS.iter().map(number).collect::<Result<_>>()?;
        for row in 0..batch.num_rows() {
            let value = |column: usize| match columns[column].is_null(row) {
                true => f64::NAN,
                false => columns[column].value(row),
            };
            let (vm, hour) = (value(0), value(1));
            if vm.is_nan() || hour.is_nan() || hour % HOUR as f64 != 0.0 {
                return Err(corrupt(format!("machine {vm} has a row at {hour}, which is no hour")));
            }
            machines.entry(vm as i64).or_default().insert(hour as i64, channels(&value));
        }
    }
    Ok(machines.into_iter().map(|(vm, hours)| recorded(vm, &hours)).collect())
}

/// An hour's columns as channels.
fn channels(value: &impl Fn(usize) -> f64) -> [f64; CHANNELS] {
    let megabytes = |rate: f64| rate * value(2) * SAMPLE / KILO;
    let memory = if value(5) > 0.0 { 100.0 * value(6) / value(5) } else { f64::NAN };
    [
        value(3),
        value(4),
        memory,
        megabytes(value(7) + value(8)),
        megabytes(value(9)),
        megabytes(value(10)),
        f64::NAN,
    ]
}

fn recorded(vm: i64, hours: &BTreeMap<i64, [f64; CHANNELS]>) -> Recorded {
    let (first, last) = (hours.keys().next(), hours.keys().next_back());
    let (start, end) = (*first.unwrap_or(&0), last.map_or(0, |last| last + HOUR));
    let mut channels: [Vec<f64>; CHANNELS] = Default::default();
    for hour in (start..end).step_by(HOUR as usize) {
        let row = hours.get(&hour).unwrap_or(&[f64::NAN; CHANNELS]);
        // The last channel is connections, which are not measured.
        for (channel, value) in channels.iter_mut().zip(&row[..CHANNELS - 1]) {
            channel.push(*value);
        }
    }
    Recorded { name: vm.to_string(), start, step: HOUR, channels }
}

/// Loads the rules' verdicts from `vm_month_rule_labels.csv`, in the file's order.
///
/// # Errors
/// [`Error::Read`], [`Error::Columns`] and [`Error::Corrupt`], naming the file.
pub fn labels(dir: &Path) -> Result<Vec<Label>> {
    let path = dir.join("vm_month_rule_labels.csv");
    let file = path.display().to_string();
    let text = std::fs::read_to_string(&path)
        .map_err(|source| Error::Read { file: file.clone(), source })?;
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let header = lines.next().unwrap_or_default();
    let names: Vec<&str> = header.split(',').collect();
    let place = |name: &str| {
        names.iter().position(|found| *found == name).ok_or_else(|| Error::Columns {
            file: file.clone(),
            missing: name.to_owned(),
            found: header.to_owned(),
        })
    };
    let places = [
        place("vm")?,
        place("month")?,
        place("rule_idle_peakcpu5_net5mb")?,
        place("rule_lowutil_4of14")?,
    ];
    let label = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let field = |at: usize| fields.get(places[at]).copied();
        let flag = |at: usize| match field(at)? {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        };
        Some(Label {
            vm: field(0)?.to_owned(),
            month: field(1)?.to_owned(),
            idle: flag(2)?,
            low_utilisation: flag(3)?,
        })
    };
    let labels = lines.enumerate().map(|(at, line)| {
        let reason = format!("row {} is no label: {line}", at + 1);
        label(line).ok_or(Error::Corrupt { file: file.clone(), reason })
    });
    labels.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_by_their_columns_names() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vm_month_rule_labels.csv");
        let head = "vm,days,month,rule_lowutil_4of14,rule_idle_peakcpu5_net5mb\n";
        std::fs::write(&file, format!("{head}7,14,2013-8,1,0\n")).unwrap();
        let (vm, month) = ("7".to_owned(), "2013-8".to_owned());
        let expected = Label { vm, month, idle: false, low_utilisation: true };
        assert_eq!(labels(dir.path()).unwrap(), [expected]);
        std::fs::write(&file, format!("{head}7,14,2013-8,1,yes\n")).unwrap();
        assert!(matches!(labels(dir.path()), Err(Error::Corrupt { .. })));
        std::fs::write(&file, "vm,month\n").unwrap();
        assert!(matches!(labels(dir.path()), Err(Error::Columns { .. })));
    }

    #[test]
    fn hours_that_are_missing_are_holes() {
        let row =
            |cpu: f64| channels(&|at| [1.0, 0.0, 12.0, cpu, 9.0, 4.0, 1.0, 1.0, 1.0, 2.0, 3.0][at]);
        let hours = BTreeMap::from([(7_200, row(5.0)), (14_400, row(6.0))]);
        let machine = recorded(1, &hours);
        let rows = machine.rows().unwrap();
        assert_eq!((rows.start(), rows.len()), (7_200, 3));
        assert!(machine.channels[0][1].is_nan() && machine.channels[0][2] == 6.0);
        assert_eq!(
            (machine.channels[2][0], machine.channels[4][0]),
            (25.0, 2.0 * 3_600.0 / 1_024.0)
        );
        assert!(machine.channels[6].is_empty());
    }
}
