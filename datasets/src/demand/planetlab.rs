//! CPU of PlanetLab's virtual machines, every five minutes of a day (Beloglazov & Buyya, *Optimal online
//! deterministic algorithms and adaptive heuristics for energy and performance efficient dynamic
//! consolidation of virtual machines*, 2012), as the archives of CloudSim hold it: a folder a day, a file a
//! machine, a whole per cent a line.

use std::path::Path;

use super::{Demand, archived};
use crate::describe::below;
use crate::{Error, Result};

/// Seconds between two samples.
pub const STEP: i64 = 300;

/// Loads every machine of every `*.tar.gz` of a directory, in order of archives' and machines' names.
///
/// # Errors
/// [`Error::Read`] when an archive cannot be read, [`Error::Corrupt`] when it holds what is no per cent,
/// naming the file in it.
pub fn load(dir: &Path) -> Result<Vec<Demand>> {
    let mut all = Vec::new();
    for path in below(dir)? {
        if !path.display().to_string().ends_with(".tar.gz") {
            continue;
        }
        for (name, text) in archived(&path)? {
            let values = percents(&text).map_err(|reason| {
                let file = format!("{}: {name}", path.display());
                Error::Corrupt { file, reason }
            })?;
            all.push(Demand { name, start: 0, step: STEP, values });
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn percents(text: &str) -> Result<Vec<f64>, String> {
    let percent = |(at, line): (usize, &str)| match line.trim().parse::<f64>() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err(format!("line {} is no per cent: {line}", at + 1)),
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(percent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_per_cent_is_named() {
        assert_eq!(percents("1\n 20\n\n").unwrap(), [1.0, 20.0]);
        assert_eq!(percents("1\n120\n").unwrap_err(), "line 2 is no per cent: 120");
    }
}
