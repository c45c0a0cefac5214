//! The manifests in `deploy/` say what the binary understands.

#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use support::cloudops;

#[test]
fn every_flag_in_a_manifest_is_one_of_run() {
    let help = cloudops(&["run", "--help"]);
    let flags = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| c.is_whitespace() || "\"'[],=".contains(c));
        words.filter(|word| word.starts_with("--") && word.len() > 3).map(str::to_owned).collect()
    };
    let known = flags(&help);
    for name in ["cloudops.service", "compose.yaml", "kubernetes.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let runs = text.split("cloudops run").skip(1);
        let used: BTreeSet<String> = runs
            .flat_map(|run| {
                let lines = run.lines();
                let command: Vec<&str> = lines
                    .take_while(|line| !line.trim().is_empty() && !line.contains(": "))
                    .collect();
                flags(&command.join(" "))
            })
            .collect();
        assert!(used.contains("--config"), "{name} runs nothing: {used:?}");
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "{name} uses {unknown:?}");
    }
}
