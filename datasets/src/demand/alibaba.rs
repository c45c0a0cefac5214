//! Requests a second to Alibaba's service of generative models (cluster-trace-v2026-GenAI): `qps.tar.gz`
//! with one `qps.csv` of samples, one a container and 57 seconds.
//!
//! What counts is the sum over containers within a step, as the set's documentation says; a container's
//! own samples within a step are averaged. A step without a sample is a step without a request.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Demand, archived};
use crate::{Error, Result};

/// Seconds of a step: as long as two samples are apart, and a little more.
pub const STEP: i64 = 60;
/// The columns read, in this order.
const COLUMNS: [&str; 4] = ["timestamp_anon", "value", "container_ip", "request_type"];

/// Loads a series for each type of request, in order of their names.
///
/// # Errors
/// [`Error::Read`], [`Error::Columns`] and [`Error::Corrupt`], naming the file.
pub fn load(dir: &Path) -> Result<Vec<Demand>> {
    let path = dir.join("qps.tar.gz");
    let files = archived(&path)?;
    let table = files.iter().find(|(name, _)| name.ends_with("qps.csv"));
    series(table.map_or("", |(_, text)| text), &path.display().to_string())
}

/// Samples of one type of request by step and container: their sum and number.
type Samples<'a> = BTreeMap<i64, BTreeMap<&'a str, (f64, usize)>>;

fn series(text: &str, file: &str) -> Result<Vec<Demand>> {
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let names: Vec<&str> = header.split(',').collect();
    let mut places = [0; COLUMNS.len()];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        *place = names.iter().position(|found| *found == name).ok_or_else(|| Error::Columns {
            file: file.to_owned(),
            missing: name.to_owned(),
            found: header.to_owned(),
        })?;
    }
    let mut samples: BTreeMap<&str, Samples<'_>> = BTreeMap::new();
    let mut ends: Option<(i64, i64)> = None;
    for (at, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        let field = |column: usize| fields.get(places[column]).copied();
        let number = |column: usize| field(column)?.parse().ok().filter(|n: &f64| n.is_finite());
        let sample = (number(0), number(1).filter(|value| *value >= 0.0), field(2), field(3));
        let (Some(time), Some(value), Some(container), Some(kind)) = sample else {
            let reason = format!("row {} is no sample: {line}", at + 1);
            return Err(Error::Corrupt { file: file.to_owned(), reason });
        };
        let step = (time as i64).div_euclid(STEP);
        let (first, last) = ends.unwrap_or((step, step));
        ends = Some((first.min(step), last.max(step)));
        let of_step = samples.entry(kind).or_default().entry(step).or_default();
        let (sum, count) = of_step.entry(container).or_default();
        (*sum, *count) = (*sum + value, *count + 1);
    }
    let Some((first, last)) = ends else { return Ok(vec![]) };
    let demand = |(kind, steps): (&str, Samples<'_>)| {
        let value = |step: i64| {
            let containers = steps.get(&step).into_iter().flat_map(BTreeMap::values);
            containers.map(|(sum, count)| sum / *count as f64).sum()
        };
        Demand {
            name: kind.to_lowercase().replace(' ', "-"),
            start: first * STEP,
            step: STEP,
            values: (first..=last).map(value).collect(),
        }
    };
    Ok(samples.into_iter().map(demand).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_add_up_and_their_own_samples_are_averaged() {
        let head = "timestamp_anon,value,container_ip,request_type";
        let text = format!("{head}\n0.0,1.0,a,API\n3.0,3.0,a,API\n9.0,4.0,b,API\n130.0,5.0,,API\n");
        let all = series(&text, "qps.csv").unwrap();
        assert_eq!((all.len(), &*all[0].name), (1, "api"));
        assert_eq!(all[0].values, [6.0, 0.0, 5.0]);
        assert!(matches!(series(&format!("{head}\n1,x,,A\n"), ""), Err(Error::Corrupt { .. })));
        assert!(matches!(series("value\n", ""), Err(Error::Columns { .. })));
    }
}
