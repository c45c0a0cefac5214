//! The published sizes of Amazon, held against what EC2's own API says of them, as moto keeps it.
//!
//! Needs a Python that has moto, named by `CLOUDOPS_PYTHON`; without it the test says that it is skipped.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a step that fails, fails the test; a skipped one says so"
)]

use std::path::Path;
use std::process::Command;

use cloudops_operators::right_size::Catalogue;

#[test]
fn sizes_are_those_that_ec2_describes() {
    let Some(python) = std::env::var_os("CLOUDOPS_PYTHON") else {
        println!("skipped: CLOUDOPS_PYTHON names no Python with moto");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sizes.py");
    let output = Command::new(python).arg(script).output().unwrap();
    let (told, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if error.contains("No module named 'moto'") {
        println!("skipped: CLOUDOPS_PYTHON names a Python without moto");
        return;
    }
    assert!(output.status.success(), "{error}");
    let catalogue = Catalogue::new(&[]).unwrap();
    let mut compared = 0;
    for line in told.lines() {
        let cells: Vec<&str> = line.split(',').collect();
        let Some(size) = catalogue.find("aws", cells[0]) else { continue };
        let number = |cell: usize| cells[cell].parse::<f64>().ok();
        assert_eq!(size.architecture, cells[1], "{line}");
        assert_eq!(Some(size.vcpus), number(2), "{line}");
        assert_eq!(Some(size.memory_gib), number(3), "{line}");
        // Older versions of moto have no baselines.
        for (ours, theirs) in [(size.network_mbit_s, number(4)), (size.disk_mb_s, number(5))] {
            // EC2 has some of them as 156.2504.
            let same =
                |theirs: f64| ours.is_some_and(|ours| (ours - theirs).abs() <= 1e-5 * theirs);
            assert!(theirs.is_none_or(same), "{size:?}: {line}");
        }
        assert_eq!(size.baseline.is_some(), cells[6] == "bursts", "{line}");
        compared += 1;
    }
    println!("{compared} of {} sizes compared", catalogue.of("aws").count());
    assert_eq!(compared, catalogue.of("aws").count(), "every size is one of EC2's");
}
