//! The rows of a bill as a table: FOCUS's use cases, answered as DuckDB answers them over the bill's own
//! files; and rows that hold, which add up to the ledger.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says so when it is skipped"
)]

mod support;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{backfill, command, real_data, sql, text};

/// A job over bills, each with a catalog of its own.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a job over a path; gives its catalog.
    fn run(&self, name: &str, input: &Path, bill: &str, source: &str, workers: usize) -> String {
        let config = self.path(&format!("{name}.toml"));
        let catalog = self.path(name);
        let job = format!(
            "[catalog]\nurl = \"{}\"\n[run]\nworkers = {workers}\nepoch_records = 700\nfsync = false\n\
             [[stream]]\nname = \"bill\"\n[stream.source]\npath = \"{}\"\nformat = \"focus\"\n{source}\n\
             [stream.bill]\nlines = true\n{bill}\n",
            text(&catalog),
            text(input),
        );
        std::fs::write(&config, job).unwrap();
        backfill(&config);
        text(&catalog).to_owned()
    }
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

const COLUMNS: [&str; 52] = [
    "AvailabilityZone",
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "CapacityReservationId",
    "CapacityReservationStatus",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountQuantity",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "CommitmentDiscountUnit",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
];

/// A row by FOCUS's names; what it does not say is empty.
#[derive(Clone, Default)]
struct Row(std::collections::BTreeMap<&'static str, String>);

impl Row {
    fn set(&mut self, name: &'static str, value: impl ToString) {
        assert!(COLUMNS.contains(&name), "{name}");
        self.0.insert(name, value.to_string());
    }

    fn csv(&self) -> String {
        let cell = |name: &&str| match self.0.get(*name) {
            Some(value) => format!("\"{}\"", value.replace('"', "\"\"")),
            None => String::new(),
        };
        COLUMNS.iter().map(cell).collect::<Vec<_>>().join(",")
    }
}

/// Ten-thousandths as a decimal number.
fn decimal(amount: i64) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    format!("{sign}{}.{:04}", amount.abs() / 10_000, amount.abs() % 10_000)
}

/// A charge of a provider: use on demand, under a commitment or of reserved capacity; a purchase, a tax,
/// a credit, a refund or a correction.
fn charge(chance: &mut Chance) -> Row {
    let mut row = Row::default();
    let (provider, issuer, currency, services) = [
        ("AWS", "Amazon Web Services, Inc.", "USD", ["Amazon EC2", "Amazon S3", "Amazon RDS"]),
        ("Microsoft", "Microsoft", "EUR", ["Virtual Machines", "Storage", "SQL Database"]),
        ("Google Cloud", "Google", "USD", ["Compute Engine", "Cloud Storage", "Cloud SQL"]),
    ][chance.below(3) as usize];
    let kind = chance.below(3) as usize;
    let (month, day, hour) = (1 + chance.below(3), 1 + chance.below(27), chance.below(23));
    row.set("ProviderName", provider);
    row.set("InvoiceIssuerName", issuer);
    row.set("PublisherName", if chance.below(9) == 0 { "Another, Inc." } else { issuer });
    row.set("BillingCurrency", currency);
    row.set("BillingAccountId", format!("{}-payer", provider.len()));
    row.set("BillingAccountName", "The \"whole\" company");
    row.set("BillingPeriodStart", format!("2025-{month:02}-01T00:00:00Z"));
    row.set("BillingPeriodEnd", format!("2025-{:02}-01T00:00:00Z", month + 1));
    row.set("InvoiceId", format!("{provider}-{month}"));
    row.set("ChargePeriodStart", format!("2025-{month:02}-{day:02}T{hour:02}:00:00Z"));
    row.set("ChargePeriodEnd", format!("2025-{month:02}-{day:02}T{:02}:00:00Z", hour + 1));
    if chance.below(12) > 0 {
        let team = chance.of(&["team-a", "team-b", "team-c"]);
        row.set("SubAccountId", team);
        row.set("SubAccountName", team.to_uppercase());
    }
    row.set("ServiceName", services[kind]);
    row.set("ServiceCategory", ["Compute", "Storage", "Databases"][kind]);
    row.set("ServiceSubcategory", ["Virtual Machines", "Object Storage", "Relational"][kind]);
    let (quantity, price) = (1 + chance.below(2_000) as i64, 1 + chance.below(90) as i64);
    let list = quantity * price * 100;
    let mut contracted = list;
    if chance.below(3) == 0 {
        contracted = list * 9 / 10;
    }
    let money = |row: &mut Row, billed: i64, effective: i64| {
        row.set("BilledCost", decimal(billed));
        row.set("EffectiveCost", decimal(effective));
        row.set("ListCost", decimal(list));
        row.set("ContractedCost", decimal(contracted));
    };
    row.set("ChargeFrequency", "One-Time");
    let what = chance.below(40);
    match what {
        0 => {
            row.set("ChargeCategory", "Tax");
            money(&mut row, list / 5, list / 5);
            return row;
        }
        1 => {
            row.set("ChargeCategory", "Credit");
            row.set("ChargeDescription", "thank you, \"friend\"");
            money(&mut row, -list, -list);
            return row;
        }
        2 => {
            row.set("ChargeCategory", "Purchase");
            row.set("ChargeFrequency", chance.of(&["One-Time", "Recurring"]));
            commit(&mut row, chance);
            money(&mut row, list * 20, 0);
            return row;
        }
        _ => {}
    }
    row.set("ChargeCategory", "Usage");
    row.set("ChargeFrequency", "Usage-Based");
    let region = chance.of(&["east-1", "west-2", "north-3"]);
    row.set("RegionId", region);
    row.set("RegionName", format!("The {region}"));
    row.set("AvailabilityZone", format!("{region}{}", chance.of(&["a", "b"])));
    row.set("ResourceId", format!("resource-{kind}-{}", chance.below(40)));
    row.set("ResourceType", "thing");
    row.set("SkuId", format!("sku-{kind}-{}", chance.below(4)));
    row.set("SkuPriceId", format!("price-{kind}-{}", chance.below(9)));
    row.set("SkuMeter", chance.of(&["hours", "requests"]));
    row.set("SkuPriceDetails", r#"{"InstanceType": "m5.large", "CoreCount": 2}"#);
    row.set("ChargeDescription", chance.of(&["per hour", "per request, or part of it"]));
    row.set("PricingQuantity", decimal(quantity * 10_000));
    row.set("ConsumedQuantity", decimal(quantity * 10_000 + 5));
    row.set("PricingUnit", "Hours");
    row.set("ConsumedUnit", chance.of(&["Hours", "GB"]));
    row.set("ListUnitPrice", decimal(price * 100));
    row.set("ContractedUnitPrice", decimal(contracted / quantity));
    row.set("PricingCategory", "Standard");
    match chance.below(5) {
        0 => row.set("Tags", r#"{"application": "shop, \"new\"", "environment": "prod", "n": 7}"#),
        1 => row.set("Tags", r#"{"application": "search", "environment": null}"#),
        2 => row.set("Tags", "{}"),
        _ => {}
    }
    let idle = what < 8;
    match what {
        3..=5 | 10..=18 => {
            commit(&mut row, chance);
            row.set("PricingCategory", "Committed");
            row.set("CommitmentDiscountStatus", if idle { "Unused" } else { "Used" });
            row.set("CommitmentDiscountQuantity", decimal(quantity * 5_000));
            row.set("CommitmentDiscountUnit", "Hours");
            money(&mut row, 0, contracted * 6 / 10);
        }
        6..=7 | 19..=22 => {
            row.set("CapacityReservationId", format!("capacity-{}", chance.below(3)));
            row.set("CapacityReservationStatus", if idle { "Unused" } else { "Used" });
            money(&mut row, contracted, contracted);
        }
        23 => {
            row.set("ChargeClass", "Correction");
            money(&mut row, -contracted / 3, -contracted / 3);
        }
        24 => money(&mut row, -contracted, -contracted),
        // Priced otherwise than the contract says.
        25 => {
            row.set("ContractedUnitPrice", decimal(price * 110));
            money(&mut row, contracted, contracted);
        }
        _ => money(&mut row, contracted, contracted),
    }
    row
}

fn commit(row: &mut Row, chance: &mut Chance) {
    let kind = chance.below(2);
    row.set("CommitmentDiscountId", format!("commitment-{kind}-{}", chance.below(3)));
    row.set("CommitmentDiscountName", format!("plan {kind}"));
    row.set("CommitmentDiscountType", ["Savings Plan", "Reserved Instance"][kind as usize]);
    row.set("CommitmentDiscountCategory", ["Spend", "Usage"][kind as usize]);
}

fn answers(place: &Place, name: &str, input: &Path, file: &Path) {
    let Some(python) = std::env::var_os("CLOUDOPS_PYTHON") else {
        println!("skipped: CLOUDOPS_PYTHON does not name a Python that has duckdb");
        return;
    };
    let catalog = place.run(name, input, "", "", 2);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(python)
        .arg(here.join("tests/focus.py"))
        .args(["answers", env!("CARGO_BIN_EXE_cloudops"), &catalog])
        .arg(here.join("../sql/queries/focus"))
        .arg(file)
        .output()
        .unwrap();
    let (out, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{name}\n{out}");
    assert!(output.status.success(), "{out}\n{error}");
}

#[test]
fn use_cases_are_answered_as_duckdb_answers_them() {
    let place = Place::new();
    let mut chance = Chance(7);
    let mut csv = COLUMNS.join(",") + "\n";
    for _ in 0..5_000 {
        writeln!(csv, "{}", charge(&mut chance).csv()).unwrap();
    }
    std::fs::create_dir(place.path("made")).unwrap();
    let file = place.path("made/bill.csv");
    std::fs::write(&file, csv).unwrap();
    answers(&place, "of-text", &place.path("made"), &file);
    // The same bill as Parquet, whose columns are read at once.
    if let Some(python) = std::env::var_os("CLOUDOPS_PYTHON") {
        std::fs::create_dir(place.path("typed")).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/focus.py");
        let typed = place.path("typed/bill.parquet");
        let made = Command::new(python).arg(script).arg("parquet").args([&file, &typed]).status();
        assert!(made.unwrap().success());
        answers(&place, "of-parquet", &place.path("typed"), &file);
    }
    if let Some(data) = real_data() {
        let file = data.join("focus_1_0/focus_sample_aws.csv");
        answers(&place, "of-aws", &file, &file);
    }
}

/// Rows that state lines: some anew, some twice, some anew with nothing but another service or zone; in
/// any order.
fn stated(seed: u64) -> String {
    let mut chance = Chance(seed);
    let mut rows = Vec::new();
    for line in 0..1_500 {
        let mut row = charge(&mut chance);
        let mut version = 1;
        let mut state =
            |row: &Row, version: u64| rows.push(format!("{},{line},{version}", row.csv()));
        state(&row, version);
        while chance.below(4) == 0 {
            match chance.below(4) {
                0 => row.set("ServiceName", chance.of(&["moved", "Amazon EC2", "another"])),
                1 => row.set("RegionId", chance.of(&["east-1", "south-9"])),
                2 => row.set("InvoiceId", chance.of(&["i-1", "i-2"])),
                _ => {
                    version += chance.below(2);
                    row.set("BilledCost", decimal(chance.below(90_000) as i64));
                }
            }
            state(&row, version);
        }
        if chance.below(10) == 0 {
            state(&row, version);
        }
    }
    for at in (1..rows.len()).rev() {
        rows.swap(at, chance.below(at as u64 + 1) as usize);
    }
    format!("{},x_Line,x_Version\n{}\n", COLUMNS.join(","), rows.join("\n"))
}

#[test]
fn rows_that_hold_add_up_to_the_ledger() {
    let place = Place::new();
    let mut held = None;
    for (number, by) in [
        r#"by = ["region", "charge_category"]"#,
        r#"by = []"#,
        r#"by = ["invoice", "service_category", "tag:application"]"#,
    ]
    .into_iter()
    .enumerate()
    {
        for (seed, workers) in [(1, 1), (1, 2), (2, 2)] {
            let name = format!("held-{number}-{seed}-{workers}");
            let input = place.path(&format!("{name}.csv"));
            std::fs::write(&input, stated(seed)).unwrap();
            let source = "line = [\"x_Line\"]\nversion = \"x_Version\"";
            let catalog = place.run(&name, &input, by, source, workers);
            let (mut key, mut filled) = (String::new(), String::new());
            for (column, focus) in [("region", "RegionId"), ("invoice", "InvoiceId")] {
                if by.contains(column) {
                    write!(key, ", \"{focus}\"").unwrap();
                    write!(filled, ", {column}").unwrap();
                }
            }
            let of_rows = format!(
                "SELECT COALESCE(\"SubAccountId\", \"BillingAccountId\") AS entity_id,
                        CAST(\"ChargePeriodStart\" AS DATE) AS day, \"ServiceName\" AS service,
                        \"BillingCurrency\" AS currency {key}, SUM(\"BilledCost\") AS billed,
                        SUM(\"EffectiveCost\") AS effective, COUNT(*) AS charges
                 FROM focus GROUP BY COALESCE(\"SubAccountId\", \"BillingAccountId\"),
                        CAST(\"ChargePeriodStart\" AS DATE), \"ServiceName\", \"BillingCurrency\" {key}"
            );
            let of_ledger = format!(
                "SELECT entity_id, day, service, currency {filled}, SUM(billed_cost) AS billed,
                        SUM(effective_cost) AS effective, SUM(charges) AS charges
                 FROM cost_daily GROUP BY entity_id, day, service, currency {filled}"
            );
            for (one, other) in [(&of_rows, &of_ledger), (&of_ledger, &of_rows)] {
                let only = sql(&catalog, &format!("{one} EXCEPT {other}"));
                assert!(only.is_empty(), "{name}: {} rows, first {}", only.len(), only[0]);
            }
            let rows = sql(&catalog, "SELECT COUNT(*) AS n FROM focus");
            assert_eq!(rows[0]["n"], 1_500, "{name}: a row for every line");
            let all = sql(&catalog, "SELECT COUNT(*) AS n FROM cost_lines");
            assert!(all[0]["n"].as_u64().unwrap() > 1_900, "{name}: all rows are kept: {all:?}");
            // Some of them are told apart by nothing but their rank.
            let ranked = sql(
                &catalog,
                "SELECT line FROM cost_lines GROUP BY line, version, billed_cost, effective_cost
                 HAVING COUNT(DISTINCT rank) > 1",
            );
            assert!(ranked.len() > 50, "{name}: {}", ranked.len());
            // Workers and cuts do not show.
            let rows = sql(&catalog, "SELECT * FROM focus ORDER BY \"ChargePeriodStart\"");
            let mut rows: Vec<_> = rows.iter().map(ToString::to_string).collect();
            rows.sort();
            if seed == 1 {
                let held = held.get_or_insert((number, rows.clone()));
                if held.0 == number {
                    assert!(held.1 == rows, "{name}");
                }
                *held = (number, rows);
            }
        }
    }
}

#[test]
fn a_bad_value_is_a_reject_that_names_it() {
    let place = Place::new();
    let mut chance = Chance(3);
    let mut csv = COLUMNS.join(",") + "\n";
    for bad in [None, Some(("ListCost", "dear")), Some(("BillingPeriodEnd", "soon"))] {
        let mut row = charge(&mut chance);
        bad.into_iter().for_each(|(name, value)| row.set(name, value));
        writeln!(csv, "{}", row.csv()).unwrap();
    }
    let input = place.path("bad.csv");
    std::fs::write(&input, csv).unwrap();
    let catalog = place.run("bad", &input, "", "", 1);
    let rejects =
        sql(&catalog, "SELECT offset_from, field, reason FROM rejects ORDER BY offset_from");
    let told: Vec<_> = rejects
        .iter()
        .map(|row| format!("{} {} {}", row["offset_from"], row["field"], row["reason"]))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("1 \"ListCost\"") && told[0].contains("dear"), "{told:?}");
    assert!(told[1].starts_with("2 \"BillingPeriodEnd\"") && told[1].contains("soon"), "{told:?}");
    assert_eq!(sql(&catalog, "SELECT * FROM cost_lines").len(), 1);
    assert_eq!(sql(&catalog, "SELECT * FROM cost_changes").len(), 1);
}

#[test]
fn only_a_bill_has_lines() {
    let place = Place::new();
    let config = place.path("sensor.toml");
    let job = "[catalog]\nurl = \"none\"\n[[stream]]\nname = \"sensor\"\n\
               window = { kind = \"count\", length = 3, hop = 3 }\n\
               [stream.source]\npath = \"none\"\nformat = \"nab\"\n[stream.bill]\nlines = true\n";
    std::fs::write(&config, job).unwrap();
    let output = command(&["backfill", "--config", text(&config)]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("bill is for cost streams"), "{error}");
}
