//! Costs allocated by tag: as DuckDB finds them in the bill's own file; the same on whatever day, however
//! the bill is cut; what cannot be is refused.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says so when it is skipped"
)]

mod support;

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{backfill, cloudops, command, real_data, sql, text};

const JOB: &str = r#"
[catalog]
url = "WHERE/RESULTS"
[run]
workers = WORKERS
epoch_records = RECORDS
fsync = false
[[stream]]
name = "bill"
[stream.source]
path = PATHS
format = "focus"
SOURCE
[stream.bill]
by = ["tag:application", "tag:environment"]
[[stream.allocation]]
name = "applications"
by = "tag:application"
[[stream.allocation.rule]]
name = "support"
match = { service = ["AWS Support (Business)", "AmazonCloudWatch"] }
split = "proportional"
[[stream.allocation.rule]]
name = "network"
match = { service = ["Amazon Virtual Private Cloud", "Elastic Load Balancing"], "tag:environment" = ["dev"] }
split = "even"
[[stream.allocation.rule]]
name = "untagged"
unallocated = true
split = { BrightPathMatrix = 2, nobody = 0.5 }
[[stream.allocation]]
name = "services"
by = "service"
"#;

fn run(place: &Path, name: &str, paths: &[&Path], source: &str, cut: (u64, usize)) -> String {
    let config = place.join(format!("{name}.toml"));
    let job = JOB
        .replace("WHERE", text(place))
        .replace("RESULTS", name)
        .replace("PATHS", &format!("{paths:?}"))
        .replace("SOURCE", source)
        .replace("RECORDS", &cut.0.to_string())
        .replace("WORKERS", &cut.1.to_string());
    std::fs::write(&config, job).unwrap();
    let summary = backfill(&config);
    assert_eq!(summary["rejected"], 0, "{summary}");
    text(&place.join(name)).to_owned()
}

/// Numbers that only look like chance.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn of<'a>(&mut self, choice: &[&'a str]) -> &'a str {
        choice[self.below(choice.len() as u64) as usize]
    }
}

/// Lines of two billing accounts over two months, some of them credits, some stated anew some days
/// later, in a file for each half of them.
fn bill(place: &Path, lines: u64) -> [std::path::PathBuf; 2] {
    let mut chance = Chance(5);
    let mut halves = [Vec::new(), Vec::new()];
    for line in 0..lines {
        let half = chance.below(2) as usize;
        let (payer, currency) = (chance.of(&["acme", "bolt"]), chance.of(&["USD", "USD", "EUR"]));
        let service = chance.of(&[
            "AWS Support (Business)",
            "Amazon Elastic Compute Cloud",
            "Amazon Elastic Compute Cloud",
            "Elastic Load Balancing",
        ]);
        let tags = chance.of(&[
            r#"{""application"": ""shop"", ""environment"": ""dev""}"#,
            r#"{""application"": ""shop"", ""environment"": ""prod""}"#,
            r#"{""application"": ""search"", ""environment"": ""prod""}"#,
            r#"{""application"": ""BrightPathMatrix""}"#,
            r#"{""application"": """"}"#,
            r#"{""application"": null, ""environment"": ""dev""}"#,
            "",
        ]);
        let day = chance.below(45);
        let mut known = day + chance.below(3);
        for version in 0.. {
            let size = 10_u64.pow(chance.below(9) as u32);
            let (sign, amount) = (chance.of(&["", "", "", "-"]), chance.below(size));
            let billed = format!("{sign}0.{:012}", amount * 7_919);
            let effective = format!("{sign}{}.{:07}", chance.below(90), amount % 10_000_000);
            let date = |day: u64| format!("2026-{:02}-{:02}", 1 + day / 28, 1 + day % 28);
            let (began, stated) = (date(day), date(known));
            let row = format!(
                "{payer},{currency},{payer}-{},{service},Usage,{began}T01:00:00Z,{began}T02:00:00Z,\
                 {billed},{effective},AWS,\"{tags}\",{line},{version},{stated}T09:00:00Z",
                chance.below(2),
            );
            halves[half].push((known, row));
            known += 1 + chance.below(12);
            if chance.below(3) > 0 {
                break;
            }
        }
    }
    let files = ["one", "other"].map(|name| place.join(format!("{name}.csv")));
    for (rows, file) in halves.iter_mut().zip(&files) {
        rows.sort();
        let mut csv = "BillingAccountId,BillingCurrency,SubAccountId,ServiceName,ChargeCategory,\
                       ChargePeriodStart,ChargePeriodEnd,BilledCost,EffectiveCost,ProviderName,Tags,\
                       x_Line,x_Version,x_Known\n"
            .to_owned();
        rows.iter().for_each(|(_, row)| writeln!(csv, "{row}").unwrap());
        std::fs::write(file, csv).unwrap();
    }
    files
}

/// Everything that the ledger says, added up by the day on which it became known.
fn by_day_known(catalog: &str) -> Vec<String> {
    let rows = sql(
        catalog,
        "select billing_account, month, currency, allocation, target, rule, known_on,
                sum(billed_after - billed_before) as billed,
                sum(effective_after - effective_before) as effective
         from cost_allocation_changes
         group by billing_account, month, currency, allocation, target, rule, known_on
         having sum(billed_after - billed_before) <> 0
             or sum(effective_after - effective_before) <> 0
         order by 1, 2, 3, 4, 5, 6, 7",
    );
    rows.iter().map(Value::to_string).collect()
}

/// What is allocated is the bill: of every month, and as believed on any day.
fn assert_sums(catalog: &str) {
    for (costs, allocated) in [
        (
            "select source, billing_account, date_trunc('month', day) as month, currency,
                    sum(billed_cost) as billed, sum(effective_cost) as effective from cost_daily",
            "select source, billing_account, date_trunc('month', month) as month, currency,
                    sum(billed_cost) as billed, sum(effective_cost) as effective
             from cost_allocations",
        ),
        (
            "select source, billing_account, date_trunc('month', day) as month, currency, known_on,
                    sum(billed_after - billed_before) as billed,
                    sum(effective_after - effective_before) as effective from cost_changes",
            "select source, billing_account, date_trunc('month', month) as month, currency, known_on,
                    sum(billed_after - billed_before) as billed,
                    sum(effective_after - effective_before) as effective
             from cost_allocation_changes",
        ),
    ] {
        for allocation in ["applications", "services"] {
            let by = if costs.contains("known_on") { "1, 2, 3, 4, 5" } else { "1, 2, 3, 4" };
            let some = |from: &str, filter: &str| {
                format!("select * from ({from} {filter} group by {by}) where billed <> 0 or effective <> 0")
            };
            let allocated = some(allocated, &format!("where allocation = '{allocation}'"));
            let costs = some(costs, "");
            for (one, other) in [(&costs, &allocated), (&allocated, &costs)] {
                let only = sql(catalog, &format!("{one} except {other}"));
                assert!(only.is_empty(), "{allocation}: {} rows, first {}", only.len(), only[0]);
            }
            assert!(!sql(catalog, &costs).is_empty());
        }
    }
}

const LINES: &str = "line = [\"x_Line\"]\nversion = \"x_Version\"\nknown = \"x_Known\"";

#[test]
fn what_was_believed_on_any_day_does_not_depend_on_cuts_or_workers() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path();
    let files = bill(place, 700);
    let paths = files.each_ref().map(std::path::PathBuf::as_path);
    let whole = run(place, "whole", &paths, LINES, (1 << 30, 1));
    assert_sums(&whole);
    let want = by_day_known(&whole);
    assert!(want.len() > 1_000, "{}", want.len());
    let restated = sql(
        &whole,
        "select count(*) as n from cost_allocation_changes
         where rule <> 'direct' and known_on > month + interval '40 days'",
    );
    assert!(restated[0]["n"].as_u64() > Some(50), "{restated:?}");
    for (records, workers) in [(1 << 30, 2), (90, 3), (7, 2)] {
        let name = format!("cut-{records}-{workers}");
        let catalog = run(place, &name, &paths, LINES, (records, workers));
        let found = by_day_known(&catalog);
        assert_eq!(found.len(), want.len(), "{name}");
        for (found, want) in found.iter().zip(&want) {
            assert_eq!(found, want, "{name}");
        }
    }
    // The other partition first: what was known in between is the same.
    let swapped = [paths[1], paths[0]];
    let catalog = run(place, "swapped", &swapped, LINES, (90, 2));
    assert!(by_day_known(&catalog) == want, "partitions in another order");
    let query = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/queries/showback.sql");
    let arguments = ["sql", "--catalog", &catalog, "--format", "json", "--file", text(&query)];
    let rows: Vec<Value> = serde_json::from_str(&cloudops(&arguments)).unwrap();
    assert!(rows.len() > 20 && rows.iter().any(|row| row["target"] == "nobody"), "{rows:?}");
}

#[test]
fn duckdb_finds_the_same_shares_in_the_raw_file() {
    let Some(python) = std::env::var_os("CLOUDOPS_PYTHON") else {
        println!("skipped: CLOUDOPS_PYTHON does not name a Python that has duckdb");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path();
    // Rows without lines add up, so all that is in the file counts.
    let [made, _] = bill(place, 1_500);
    let real = real_data().map(|data| data.join("focus_1_0/focus_sample_aws.csv"));
    for (name, file) in [("made", Some(made)), ("real", real)] {
        let Some(file) = file else { continue };
        let catalog = run(place, name, &[&file], "", (100, 2));
        assert_sums(&catalog);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/allocation.py");
        let output = Command::new(&python)
            .arg(script)
            .args([env!("CARGO_BIN_EXE_cloudops"), &catalog, text(&file)])
            .output()
            .unwrap();
        let (out, error) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        print!("{name}: {out}");
        assert!(output.status.success(), "{name}: {out}\n{error}");
    }
}

#[test]
fn what_cannot_be_allocated_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |from: &str, to: &str, what: &str| {
        assert!(JOB.contains(from), "{from}");
        let job = JOB
            .replace(from, to)
            .replace("WHERE", text(dir.path()))
            .replace("PATHS", "\"none\"")
            .replace("SOURCE", "")
            .replace("WORKERS", "1")
            .replace("RECORDS", "10");
        let config = dir.path().join("job.toml");
        std::fs::write(&config, job).unwrap();
        let output = command(&["backfill", "--config", text(&config)]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(what), "{what}: {error}");
    };
    refused(", \"tag:environment\"]", "]", "not told apart by tag:environment: add it to bill.by");
    refused("by = \"tag:application\"", "by = \"invoice\"", "add it to bill.by");
    refused("unallocated = true", "unalocated = true", "unknown field `unalocated`");
    refused("unallocated = true", "", "needs either match");
    refused("\"even\"", "\"odd\"", "\"proportional\", \"even\" or a table of weights");
    refused("nobody = 0.5", "nobody = 0", "the weight of \"nobody\" is 0");
    refused("name = \"services\"", "name = \"applications\"", "it is named twice");
}
