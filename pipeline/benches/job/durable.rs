//! What it costs that nothing is lost: commits, checkpoints, restarts.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use crate::input::CHANNELS;
use crate::runs::{Checkpoints, Job, best};
use crate::{MB, ROWS, made};

/// What a commit costs: the same rows in ten times as many epochs.
pub(crate) fn commits(job: &Job, input: &Path, report: &mut String) -> Result<()> {
    const LARGE: u64 = 131_072;
    const SMALL: u64 = LARGE / 10;
    let ways = [(LARGE, "1h"), (SMALL, "1h"), (LARGE, "0s"), (SMALL, "0s")];
    let mut walls = [const { Vec::new() }; 4];
    let mut cpus = [const { Vec::new() }; 4];
    let mut epochs = [0; 4];
    for turn in 1..=3 {
        eprintln!("commits, {turn} of 3 …");
        for (at, (epoch, every)) in ways.iter().enumerate() {
            let run = job.run_in_epochs(input, *epoch, every)?;
            walls[at].push(run.wall);
            cpus[at].push(run.cpu);
            epochs[at] = run.epochs;
        }
    }
    writeln!(
        report,
        "\n## Commits\n\n{ROWS} rows, 2 workers, every object flushed to the disk. Least of three runs in \
         turn.\n\n| epochs of | checkpoints | epochs | wall s | CPU s |\n|--:|---|--:|--:|--:|"
    )?;
    for (at, (epoch, every)) in ways.iter().enumerate() {
        let checkpoints = if *every == "0s" { "with every epoch" } else { "one at the end" };
        writeln!(
            report,
            "| {epoch} | {checkpoints} | {} | {:.2} | {:.2} |",
            epochs[at],
            best(&walls[at]),
            best(&cpus[at])
        )?;
    }
    writeln!(report)?;
    for (what, large, small) in [("An epoch", 0, 1), ("With a checkpoint, an epoch", 2, 3)] {
        let more = (epochs[small] - epochs[large]) as f64;
        let cost = |of: &[Vec<f64>; 4]| (best(&of[small]) - best(&of[large])) / more;
        let (wall, cpu) = (cost(&walls), cost(&cpus));
        writeln!(
            report,
            "{what} costs {:.1} ms and {:.1} ms of CPU: where one is committed every second, {:.1} % of \
             the time and {:.1} % of two cores.",
            wall * 1e3,
            cpu * 1e3,
            wall * 100.0,
            cpu * 50.0
        )?;
    }
    Ok(())
}

/// What a restart takes up, and what that costs.
pub(crate) fn restart(job: &Job, work: &Path, report: &mut String) -> Result<()> {
    writeln!(
        report,
        "\n## Restart\n\nKilled after three of four rows of every machine, with a checkpoint for every \
         row a machine; then run again with another number of workers. Times are CPU \
         seconds.\n\n\
         | machines | state MB | bytes a machine | written in | taken up in | MB at most, after the restart |\n\
         |--:|--:|--:|--:|--:|--:|"
    )?;
    for machines in [10_000, 100_000, 1_000_000] {
        eprintln!("restart, {machines} machines …");
        let input = made(work, machines, 4 * machines)?;
        let written = job.run_checkpointing(&input, machines as u64)?;
        let (state, run) = job.run_killed(&input, machines as u64, 3)?;
        writeln!(
            report,
            "| {machines} | {:.1} | {:.0} | {:.2} | {:.2} | {:.0} |",
            state.bytes() as f64 / MB,
            state.bytes() as f64 / machines as f64,
            written,
            run.seconds_of(&["restore"]),
            run.peak / MB
        )?;
    }
    Ok(())
}

/// What checkpoints write where few keys change, and what a restart then reads.
pub(crate) fn changes(job: &Job, work: &Path, report: &mut String) -> Result<()> {
    writeln!(
        report,
        "\n## Checkpoints of changes\n\nThe same, with a checkpoint for every hundredth of the machines, which \
         alone have changed; killed before the last one. What a changed machine holds is its rows and \
         their keys ({CHANNELS} channels, time, partition, offset, id), its name and three numbers.\n\n\
         | machines | checkpoints | changes: bytes a changed machine | it holds | times as much \
         | all written, whole ones included | files and MB at the restart | taken up in | MB at most |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    for machines in [100_000, 1_000_000] {
        eprintln!("changes, {machines} machines …");
        let input = made(work, machines, 4 * machines)?;
        let epoch = machines as u64 / 100;
        let (state, run) = job.run_killed(&input, epoch, 395)?;
        let Checkpoints { written, files, .. } = &state;
        // The machines have reported once more with every hundred checkpoints.
        let holds = |at: usize| {
            let rows = (at / 100 + 1) as f64;
            rows * (CHANNELS * 4 + 28) as f64 + "machine-0000000".len() as f64 + 24.0
        };
        let (mut changes, mut of_changes, mut all, mut of_all) = (0.0, 0.0, 0.0, 0.0);
        for (at, taken) in written.iter().enumerate() {
            let held = holds(at) * epoch as f64;
            all += taken.bytes as f64;
            of_all += held;
            if taken.continued {
                changes += taken.bytes as f64;
                of_changes += held;
            }
        }
        let continued = written.iter().filter(|taken| taken.continued).count() as f64;
        writeln!(
            report,
            "| {machines} | {} | {:.0} | {:.0} | {:.2} | {:.2} | {files}, {:.0} MB | {:.2} | {:.0} |",
            written.len(),
            changes / continued / epoch as f64,
            of_changes / continued / epoch as f64,
            changes / of_changes,
            all / of_all,
            state.bytes() as f64 / MB,
            run.seconds_of(&["restore"]),
            run.peak / MB
        )?;
    }
    Ok(())
}
