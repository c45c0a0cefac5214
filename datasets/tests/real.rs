//! The real sets, against what was published about them.
//!
//! Reads the directory that `CLOUDOPS_DATASETS` names; skipped where it is not set.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a step that fails, fails the test; a skipped one says so"
)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Float32Type};
use cloudops_datasets::labels::audit::{rule_cases, zipped_events};
use cloudops_datasets::{Format, Reject, StreamKind, describe, matching, open};
use cloudops_operators::epoch::Partition;
use cloudops_operators::resource::touch::{Touch, touches};
use cloudops_operators::right_size::{Basis, Catalogue, Observation, Prices, priced};
use cloudops_operators::schema::{ENTITY_ID, OFFSET, audit, column, cost, focus, labels, offsets};

fn datasets() -> Option<PathBuf> {
    let Some(dir) = std::env::var_os("CLOUDOPS_DATASETS") else {
        println!("skipped: CLOUDOPS_DATASETS is not set");
        return None;
    };
    let dir = PathBuf::from(dir);
    assert!(dir.is_dir(), "{} is no directory", dir.display());
    Some(dir)
}

fn format(text: &str) -> Format {
    serde_json::from_str(text).unwrap()
}

/// All rows and rejects of a file, whose offsets must have no gaps.
fn read(path: &Path, format: &Format) -> (RecordBatch, Vec<Reject>) {
    let name = path.display().to_string();
    let mut reader = open(File::open(path).unwrap(), &name, format, 0, 0).unwrap();
    let (mut rows, mut rejects) = (Vec::new(), Vec::new());
    let mut next = 0;
    while let Some(batch) = reader.next_batch().unwrap() {
        assert_eq!(batch.first_offset, next, "{name}");
        assert_eq!(batch.records as usize, batch.rows.num_rows() + batch.rejects.len(), "{name}");
        next += batch.records;
        rows.push(batch.rows);
        rejects.extend(batch.rejects);
    }
    (arrow::compute::concat_batches(&format.schema(), &rows).unwrap(), rejects)
}

fn count_by(rows: &RecordBatch, name: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for value in labels(rows, name).unwrap().iter().flatten() {
        *counts.entry(value.to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn cmapss_has_its_engines_and_rows() {
    let Some(dir) = datasets() else { return };
    let cmapss = format(r#"{"format": "cmapss"}"#);
    for (file, rows) in [("train_FD001.txt", 20_631), ("test_FD001.txt", 13_096)] {
        let (batch, rejects) = read(&dir.join("cmapss").join(file), &cmapss);
        assert_eq!((batch.num_rows(), rejects.len()), (rows, 0), "{file}");
        assert_eq!(count_by(&batch, ENTITY_ID).len(), 100, "{file}");
    }
    let (train, _) = read(&dir.join("cmapss/train_FD001.txt"), &cmapss);
    assert_eq!(count_by(&train, ENTITY_ID)["train_FD001-1"], 192);
    let first = column(&train, "sensor_02").unwrap().as_primitive::<Float32Type>().value(0);
    assert_eq!(first, 641.82);
}

#[test]
fn smd_machines_have_38_dimensions() {
    let Some(dir) = datasets() else { return };
    let smd = format(r#"{"format": "smd"}"#);
    let files = matching(&dir.join("smd"), &smd).unwrap();
    assert!(files.len() >= 2);
    for file in files {
        let (batch, rejects) = read(&file, &smd);
        assert_eq!((batch.num_columns(), rejects.len()), (3 + 38, 0), "{}", file.display());
        assert!((23_000..29_000).contains(&batch.num_rows()), "{}", file.display());
    }
    let (train, _) = read(&dir.join("smd/train/machine-1-6.txt.gz"), &smd);
    assert_eq!(train.num_rows(), 23_688);
}

#[test]
fn asd_has_its_rows() {
    let Some(dir) = datasets() else { return };
    let asd = format(r#"{"format": "asd"}"#);
    for file in matching(&dir.join("asd"), &asd).unwrap() {
        let expected = if file.parent().unwrap().ends_with("train") { 8640 } else { 4320 };
        let (batch, rejects) = read(&file, &asd);
        assert_eq!((batch.num_rows(), rejects.len()), (expected, 0), "{}", file.display());
    }
}

#[test]
fn skab_has_its_rows() {
    let Some(dir) = datasets() else { return };
    let skab = format(r#"{"format": "skab"}"#);
    let (healthy, rejects) = read(&dir.join("skab/anomaly-free/anomaly-free.csv"), &skab);
    assert_eq!((healthy.num_rows(), rejects.len()), (9405, 0));
    let all = describe(&dir.join("skab"), &skab).unwrap();
    assert_eq!(all.rejects, 0);
    assert_eq!(all.entities as usize, all.files);
}

#[test]
fn ai4i_has_ten_thousand_rows() {
    let Some(dir) = datasets() else { return };
    let ai4i = format(r#"{"format": "ai4i", "entity": "Type"}"#);
    let (rows, rejects) = read(&dir.join("ai4i2020/ai4i2020.csv"), &ai4i);
    assert_eq!((rows.num_rows(), rejects.len()), (10_000, 0));
    let expected = [("H", 1003), ("L", 6000), ("M", 2997)].map(|(k, v)| (k.to_owned(), v));
    assert_eq!(count_by(&rows, ENTITY_ID), BTreeMap::from(expected));
}

#[test]
fn nab_series_have_their_lengths() {
    let Some(dir) = datasets() else { return };
    let nab = format(r#"{"format": "nab"}"#);
    let (taxi, rejects) = read(&dir.join("nab/data/realKnownCause/nyc_taxi.csv"), &nab);
    assert_eq!((taxi.num_rows(), rejects.len()), (10_320, 0));
    assert_eq!(count_by(&taxi, ENTITY_ID).keys().next().unwrap(), "realKnownCause/nyc_taxi");
    assert_eq!(describe(&dir.join("nab"), &nab).unwrap().rejects, 0);
}

#[test]
fn focus_sums_are_exact() {
    let Some(dir) = datasets() else { return };
    let focus = format(r#"{"format": "focus"}"#);
    let (rows, rejects) = read(&dir.join("focus_1_0/focus_sample_aws.csv"), &focus);
    assert_eq!((rows.num_rows(), rejects.len()), (942, 0));
    let golden: HashMap<String, BTreeMap<String, String>> =
        serde_json::from_str(include_str!("golden/focus.json")).unwrap();
    for (name, ours) in [("BilledCost", cost::BILLED_COST), ("EffectiveCost", cost::EFFECTIVE_COST)]
    {
        let amounts = column(&rows, ours).unwrap().as_primitive::<Decimal128Type>();
        let mut sums = BTreeMap::<String, i128>::new();
        for (service, amount) in labels(&rows, cost::SERVICE).unwrap().iter().zip(amounts.values())
        {
            *sums.entry(service.unwrap().to_owned()).or_default() += amount;
        }
        let sums: BTreeMap<String, String> =
            sums.into_iter().map(|(service, sum)| (service, sum.to_string())).collect();
        assert_eq!(sums, golden[name], "{name}");
    }
}

/// The real sample states a price of an hour in words too: it is the one that is found.
#[test]
fn bills_tell_sizes_and_their_prices() {
    let Some(dir) = datasets() else { return };
    let found = |file: &str, name: &str| {
        let format = format(&format!(r#"{{"format": "{name}"}}"#)).with_lines();
        let (rows, rejects) = read(&dir.join(file), &format);
        assert_eq!(rejects.len(), 0, "{file}");
        let found = priced(&rows).unwrap();
        (rows, found)
    };
    let (rows, aws) = found("focus_1_0/focus_sample_aws.csv", "focus");
    let descriptions = labels(&rows, focus::CHARGE_DESCRIPTION).unwrap();
    let mut prices = Prices::default();
    for observation in &aws {
        let description = descriptions.get(observation.offset as usize).unwrap();
        assert!(description.contains(&observation.sold.size), "{description}");
        let Some(seen) = observation.seen(Partition(0)) else { continue };
        let told = description.split_once(" per ").unwrap().0;
        let told: f64 = told.trim_start_matches("USD ").trim_start_matches('$').parse().unwrap();
        assert_eq!(seen.hour, (told * 1e9).round() as i128 * 1_000, "{description}");
        prices.see(observation.sold.clone(), seen);
    }
    let with_price = aws.iter().filter(|of| of.hour.is_some()).count();
    let committed = aws.iter().filter(|of| of.committed).count();
    let resources: HashSet<_> = aws.iter().filter_map(|of| of.resource.as_deref()).collect();
    assert_eq!((aws.len(), with_price, committed, resources.len()), (29, 24, 3, 29));
    assert_eq!(prices.iter().count(), 13);
    // Within a family prices are in proportion: where the sample has two of one, each is what the other
    // says of it.
    let catalogue = Catalogue::new(&[]).unwrap();
    let mut in_proportion = 0;
    for (sold, seen) in prices.iter() {
        let mut others = Prices::default();
        prices.iter().filter(|(other, _)| *other != sold).for_each(|(other, seen)| {
            others.see(other.clone(), *seen);
        });
        let Some(size) = catalogue.find(&sold.provider, &sold.size) else { continue };
        if let Some(price) = others.hour(size, sold, &catalogue) {
            assert_eq!((price.hour, price.basis), (seen.hour, Basis::Family), "{}", sold.size);
            in_proportion += 1;
        }
    }
    assert_eq!(in_proportion, 4);
    // A size that the sample does not show, in proportion: Amazon's own price of it in Virginia.
    let large = catalogue.find("aws", "c5.large").unwrap();
    let here = aws.iter().find(|of| of.sold.region == "us-east-1").unwrap();
    let price = prices.hour(large, &here.sold, &catalogue).unwrap();
    assert_eq!((price.hour, price.basis), (85_000_000_000, Basis::Family));

    let sizes = |(_, found): (_, Vec<Observation>)| -> Vec<(String, Option<i128>)> {
        found.into_iter().map(|of| (of.sold.size, of.hour)).collect()
    };
    let exports = "native_billing_exports";
    let (d2s, dear) = ("standard_d2s_v3".to_owned(), Some(110_000_000_000));
    let actual = sizes(found(&format!("{exports}/azure_EA_ActualCost_Small.csv"), "azure-cost"));
    assert_eq!(actual, [(d2s.clone(), dear)]);
    let amortised = format!("{exports}/azure_EA_AmortizedCost_Small.csv");
    let amortised = sizes(found(&amortised, "azure-amortised-cost"));
    // Machines that a reservation and a savings plan pay for have no price of their own.
    let covered = [("standard_ds2_v2".to_owned(), None), ("standard_b2s".to_owned(), None)];
    assert_eq!(amortised, [&covered[..], &[(d2s, dear)]].concat());
    // These samples have no machines, or do not say of which size they are.
    for (file, name) in [("aws_cur_sample.csv", "aws-cur"), ("azure_ea_sample.csv", "azure-cost")] {
        assert_eq!(sizes(found(&format!("{exports}/{file}"), name)), [], "{file}");
    }
}

#[test]
fn stratus_has_202_events() {
    let Some(dir) = datasets() else { return };
    let cloudtrail = format(r#"{"format": "cloudtrail"}"#);
    assert_eq!(cloudtrail.kind(), StreamKind::Audit);
    let (mut events, mut errors) = (0, 0);
    let mut ids = HashSet::new();
    for file in matching(&dir.join("cloudtrail_stratus"), &cloudtrail).unwrap() {
        let (rows, rejects) = read(&file, &cloudtrail);
        assert_eq!(rejects, [], "{}", file.display());
        events += rows.num_rows();
        errors += rows.num_rows() - column(&rows, audit::ERROR_CODE).unwrap().null_count();
        ids.extend(count_by(&rows, audit::EVENT_ID).into_keys());
        assert_eq!(offsets(&rows).unwrap().values().first(), Some(&0), "{OFFSET}");
    }
    assert_eq!((events, errors), (202, 35));
    assert_eq!(ids.len(), 202);
}

#[test]
fn otrf_has_103_events() {
    let Some(dir) = datasets() else { return };
    let path = dir.join("cloudtrail_otrf/ec2_proxy_s3_exfiltration.zip");
    let events: Vec<String> =
        zipped_events(&path).unwrap().iter().map(ToString::to_string).collect();
    let cloudtrail = format(r#"{"format": "cloudtrail"}"#);
    let lines = bytes::Bytes::from(events.join("\n"));
    let mut reader = open(lines, "events.json", &cloudtrail, 0, 0).unwrap();
    let batch = reader.next_batch().unwrap().unwrap();
    assert_eq!((batch.rows.num_rows(), batch.rejects.len()), (103, 0));
    let kinds = count_by(&batch.rows, audit::PRINCIPAL_TYPE);
    let expected = [("AWSService", 5), ("AssumedRole", 11), ("IAMUser", 87)];
    assert_eq!(kinds, BTreeMap::from(expected.map(|(k, v)| (k.to_owned(), v))));
}

/// Cases of detection rules: real shapes of four providers, cut to what a rule reads. What their
/// authors left out of an envelope (time, id, place) is put in, and nothing else.
#[test]
fn rule_cases_of_four_providers_are_read() {
    let Some(dir) = datasets() else { return };
    let cases = rule_cases(&dir.join("audit_rule_cases_panther")).unwrap();
    assert_eq!(cases.len(), 867);
    let mut found = BTreeMap::new();
    for case in &cases {
        let Some(of) = case.format() else { continue };
        let (whole, completed): &mut (usize, usize) =
            found.entry(case.log_type.clone()).or_default();
        let read = |event: &serde_json::Value| {
            let lines = bytes::Bytes::from(event.to_string());
            let batch = open(lines, "case.json", &of, 0, 0).unwrap().next_batch().unwrap().unwrap();
            assert_eq!(batch.rows.num_rows() + batch.rejects.len(), 1);
            batch.rows.num_rows()
        };
        *whole += read(&case.event);
        *completed += read(&case.completed());
    }
    // As they stand, and with a whole envelope. The rest lack an operation, or are no audit entries.
    let expected = [
        ("AWS.CloudTrail", (290, 337)),
        ("Amazon.EKS.Audit", (0, 100)),
        ("Azure.Audit", (29, 29)),
        ("Azure.MonitorActivity", (159, 186)),
        ("GCP.AuditLog", (82, 114)),
    ];
    assert_eq!(found, BTreeMap::from(expected.map(|(name, counts)| (name.to_owned(), counts))));
}

/// How many of the events that change something touch a resource that is known, and how many of these a
/// person did. What is left names none (`ConsoleLogin`), or is a case cut to what its rule reads.
#[test]
fn most_changes_touch_known_resources() {
    let Some(dir) = datasets() else { return };
    let cloudtrail = format(r#"{"format": "cloudtrail"}"#);
    let mut found = BTreeMap::new();
    let mut count = |name: &str, rows: &RecordBatch| {
        let seen = touches(rows).unwrap();
        let reads = column(rows, audit::READ_ONLY).unwrap().as_boolean();
        let changes: HashSet<usize> =
            (0..rows.num_rows()).filter(|row| !reads.value(*row)).collect();
        let of = |keep: &dyn Fn(&Touch<'_>) -> bool| {
            let kept = seen.touches.iter().filter(|touch| keep(touch)).map(|touch| touch.row);
            kept.collect::<HashSet<_>>().intersection(&changes).count()
        };
        let (touched, typed) = (of(&|_| true), of(&|touch| touch.resource_type.is_some()));
        let sum: &mut [usize; 5] = found.entry(name.to_owned()).or_default();
        let counted =
            [changes.len(), touched, typed, of(&|touch| touch.is_human), seen.edges.len()];
        sum.iter_mut().zip(counted).for_each(|(sum, counted)| *sum += counted);
    };
    for file in matching(&dir.join("cloudtrail_stratus"), &cloudtrail).unwrap() {
        count("stratus", &read(&file, &cloudtrail).0);
    }
    let recorded =
        zipped_events(&dir.join("cloudtrail_otrf/ec2_proxy_s3_exfiltration.zip")).unwrap();
    let lines: Vec<String> = recorded.iter().map(ToString::to_string).collect();
    let batches = |text: String, of: &Format| {
        let mut reader = open(bytes::Bytes::from(text), "events.json", of, 0, 0).unwrap();
        reader.next_batch().unwrap().unwrap().rows
    };
    count("otrf", &batches(lines.join("\n"), &cloudtrail));
    for case in rule_cases(&dir.join("audit_rule_cases_panther")).unwrap() {
        let Some(of) = case.format() else { continue };
        count(&case.log_type, &batches(case.completed().to_string(), &of));
    }
    // Changes; those that touch something; something of a known type; by a person; edges of all events.
    let expected = [
        ("AWS.CloudTrail", [264, 198, 192, 133, 55]),
        ("Amazon.EKS.Audit", [90, 80, 80, 64, 0]),
        ("Azure.Audit", [29, 29, 0, 25, 0]),
        ("Azure.MonitorActivity", [142, 139, 128, 3, 3]),
        ("GCP.AuditLog", [99, 87, 60, 81, 2]),
        ("otrf", [5, 5, 5, 0, 5]),
        ("stratus", [32, 26, 26, 25, 2]),
    ];
    assert_eq!(found, BTreeMap::from(expected.map(|(name, counts)| (name.to_owned(), counts))));
}

#[test]
fn labels_stand_beside_their_rows() {
    use cloudops_datasets::labels::{asd, cmapss, nab, skab, smd};
    let Some(dir) = datasets() else { return };

    let machines = smd::load(&dir.join("smd")).unwrap();
    let machine = machines.iter().find(|machine| machine.name == "machine-1-6").unwrap();
    assert_eq!((machine.test.rows, machine.test.cols), (23_689, 38));
    let (segment, dimensions) = &machine.root_causes[0];
    assert_eq!(*segment, 246..252);
    assert_eq!(dimensions[..3], [0, 1, 2]);
    for machine in machines.iter().chain(&asd::load(&dir.join("asd")).unwrap()) {
        for (segment, dimensions) in &machine.root_causes {
            let labelled = machine.labels[segment.clone()].iter().filter(|label| **label).count();
            assert!(labelled * 2 > segment.len(), "{} {segment:?}", machine.name);
            assert!(!dimensions.is_empty());
        }
    }

    let skab = skab::load(&dir.join("skab")).unwrap();
    assert_eq!(skab.anomaly_free.iter().map(|e| e.values.rows).sum::<usize>(), 9405);
    for experiment in &skab.experiments {
        assert_eq!(experiment.values.cols, 8);
        assert!(experiment.anomaly.contains(&true), "{}", experiment.name);
        assert_eq!(experiment.anomaly.len(), experiment.values.rows);
    }

    let series = nab::load(&dir.join("nab")).unwrap();
    let taxi = series.iter().find(|series| series.name == "realKnownCause/nyc_taxi").unwrap();
    assert_eq!((taxi.windows.len(), taxi.values.rows), (5, 10_320));
    assert!(taxi.labels.iter().filter(|label| **label).count() > 1000);

    let engines = cmapss::load(&dir.join("cmapss")).unwrap();
    assert_eq!(engines.len(), 200);
    assert_eq!(engines.iter().filter(|engine| engine.is_train).count(), 100);
    assert_eq!((engines[0].values.rows, engines[0].remaining_cycles), (192, 0));
    assert_eq!((engines[100].name.as_str(), engines[100].remaining_cycles), ("test_FD001-1", 112));
}

#[test]
fn fetch_copies_and_checks() {
    use cloudops_datasets::catalogue::fetch;
    let Some(dir) = datasets() else { return };
    let dest = tempfile::tempdir().unwrap();
    for name in ["smd", "nab", "focus_1_0"] {
        let first = fetch(name, dest.path(), Some(&dir)).unwrap();
        assert!(first.fetched > 0 && first.present == 0, "{first:?}");
        let again = fetch(name, dest.path(), Some(&dir)).unwrap();
        assert_eq!((again.fetched, again.present), (0, first.fetched));
    }
    assert!(dest.path().join("smd/train/machine-1-6.txt").is_file());
}
