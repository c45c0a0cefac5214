//! Every reader on small files, on broken ones, and on any bytes at all.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a step that fails, fails the test; a skipped one says so"
)]

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, DictionaryArray, Float32Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMillisecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Int32Type, TimeUnit};
use bytes::Bytes;
use cloudops_datasets::{Error, Format, ReadBatch, Reject, Result, open};
use cloudops_operators::schema::{ENTITY_ID, TS, audit, column, cost, labels, offsets, times};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

const WIDE: &str = r#"{"format": "sensor-wide", "mapping": {"entity": "machine", "time": "ts",
    "channels": ["temp", {"name": "flow", "column": "flow, main"}]}}"#;
const LONG: &str = r#"{"format": "sensor-long", "mapping": {"entity": "id", "time": "at",
    "time_format": "s", "channel": "sensor", "value": "v", "channels": ["x", "y"],
    "look_ahead": 4}}"#;

fn format(text: &str) -> Format {
    serde_json::from_str(text).unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Everything a reader gives, checked for gaps.
fn read_from(
    bytes: &[u8],
    name: &str,
    format: &Format,
    skip: u64,
) -> Result<(RecordBatch, Vec<Reject>)> {
    let mut reader = open(Bytes::copy_from_slice(bytes), name, format, 100, skip)?;
    let (mut rows, mut rejects) = (vec![RecordBatch::new_empty(format.schema())], Vec::new());
    let mut next = None;
    while let Some(batch) = reader.next_batch()? {
        let ReadBatch { first_offset, records, .. } = batch;
        assert_eq!(first_offset, next.unwrap_or(first_offset));
        assert!(first_offset >= 100 + skip);
        assert_eq!(records as usize, batch.rows.num_rows() + batch.rejects.len());
        let mut seen: Vec<u64> = offsets(&batch.rows).unwrap().values().to_vec();
        seen.extend(batch.rejects.iter().map(|reject| reject.offset));
        seen.sort_unstable();
        assert!(seen.into_iter().eq(first_offset..first_offset + records));
        next = Some(first_offset + records);
        rows.push(batch.rows);
        rejects.extend(batch.rejects);
    }
    Ok((arrow::compute::concat_batches(&format.schema(), &rows)?, rejects))
}

fn read(bytes: &[u8], name: &str, format: &Format) -> (RecordBatch, Vec<Reject>) {
    read_from(bytes, name, format, 0).unwrap()
}

/// `offset: field: reason`, the reason cut to what is expected of it.
fn check_rejects(rejects: &[Reject], expected: &[(u64, &str, &str)]) {
    assert_eq!(rejects.len(), expected.len(), "{rejects:#?}");
    for (reject, (offset, field, reason)) in rejects.iter().zip(expected) {
        assert_eq!(reject.offset, 100 + offset, "{reject:?}");
        assert_eq!(reject.field.as_deref().unwrap_or_default(), *field, "{reject:?}");
        assert!(reject.reason.contains(reason), "{reject:?} lacks {reason}");
    }
}

fn strings(rows: &RecordBatch, name: &str) -> Vec<String> {
    let texts = labels(rows, name).unwrap();
    texts.iter().map(|text| text.unwrap_or("-").to_owned()).collect()
}

fn floats(rows: &RecordBatch, name: &str) -> Vec<f32> {
    column(rows, name).unwrap().as_primitive::<Float32Type>().values().to_vec()
}

#[test]
fn cmapss_lines() {
    let cmapss = format(r#"{"format": "cmapss", "base": "2001-01-01", "step_seconds": 10}"#);
    let (rows, rejects) = read(&fixture("train_FD009.txt"), "x/train_FD009.txt", &cmapss);
    assert_eq!(strings(&rows, ENTITY_ID), ["train_FD009-1", "train_FD009-1"]);
    assert_eq!(times(&rows, TS).unwrap(), [978_307_210_000_000, 978_307_220_000_000]);
    assert_eq!(floats(&rows, "sensor_21"), [23.419, 23.4236]);
    check_rejects(
        &rejects,
        &[(2, "sensor_07", "finite"), (3, "", "5 fields where 26"), (4, "cycle", "count of steps")],
    );
}

#[test]
fn wide_csv_lines() {
    let (rows, rejects) = read(&fixture("wide.csv"), "wide.csv", &format(WIDE));
    assert_eq!(strings(&rows, ENTITY_ID), ["m-1", "m-2", "m-1"]);
    assert_eq!(floats(&rows, "flow"), [1.0, 2.0, 3.0]);
    assert_eq!(offsets(&rows).unwrap().values(), &[100, 101, 108]);
    check_rejects(
        &rejects,
        &[
            (2, "ts", "outside 1970 to 2200"),
            (3, "temp", "finite"),
            (4, "", "header line again"),
            (5, "machine", "missing"),
            (6, "temp", "missing"),
            (7, "flow, main", "finite 32-bit"),
        ],
    );
    assert_eq!(rejects[0].line, Some(4));
    assert_eq!(rejects[0].raw, b"m-1,1024-05-01T00:00:00Z,20.5,1");
}

#[test]
fn the_same_rows_in_every_layout() {
    let (expected, _) = read(&fixture("wide.csv"), "wide.csv", &format(WIDE));
    let json = [
        r#"{"machine": "m-1", "ts": "2024-05-01T00:00:00Z", "temp": 20.5, "flow, main": 1}"#,
        r#"{"flow, main": "2", "machine": "m-2", "ts": "2024-05-01 00:00:01", "temp": 21.5}"#,
        r#"{"machine": "m-1", "ts": "2024-05-01T00:03:00Z", "temp": 20.5, "flow, main": 3, "z": []}"#,
    ];
    let wide = format(WIDE);
    let lines = json.join("\n");
    for (name, text) in [
        ("wide.ndjson", lines.clone()),
        ("wide.json", lines),
        ("wide.json", format!("[{}]", json.join(","))),
    ] {
        let (rows, rejects) = read(text.as_bytes(), name, &wide);
        assert_eq!(rejects, [], "{name}");
        for name in [ENTITY_ID, TS, "temp", "flow"] {
            assert_eq!(rows.column_by_name(name), expected.column_by_name(name), "{name}");
        }
    }
    for (ending, packed) in [
        ("gz", {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&fixture("wide.csv")).unwrap();
            gzip.finish().unwrap()
        }),
        ("zst", zstd::encode_all(&fixture("wide.csv")[..], 1).unwrap()),
    ] {
        let name = format!("wide.csv.{ending}");
        assert_eq!(read(&packed, &name, &wide).0, expected, "{name}");
        let (some, rejects) = read(&packed[..packed.len() - 12], &name, &wide);
        assert!(some.num_rows() <= 3);
        let last = &rejects.last().unwrap().reason;
        assert!(last.contains(&format!("at byte {}", packed.len() - 12)), "{last}");
    }
}

#[test]
fn long_rows_are_pivoted_in_the_order_they_began() {
    let (rows, rejects) = read(&fixture("long.csv"), "long.csv", &format(LONG));
    assert_eq!(strings(&rows, ENTITY_ID), ["a", "a", "b", "b"]);
    assert_eq!(floats(&rows, "x"), [1.0, 3.0, 6.0, 9.0]);
    assert_eq!(floats(&rows, "y"), [2.0, 4.0, 5.0, 10.0]);
    check_rejects(
        &rejects,
        &[
            (3, "sensor", "again"),
            (4, "sensor", "unknown channel"),
            (5, "v", "not a number"),
            (6, "y", "missing"),
        ],
    );

    let carried =
        format(&LONG.replace("\"look_ahead\"", "\"carry_forward\": true, \"look_ahead\""));
    let (rows, rejects) = read(&fixture("long.csv"), "long.csv", &carried);
    assert_eq!(floats(&rows, "y"), [2.0, 4.0, 5.0, 4.0, 10.0]);
    assert_eq!(rejects.len(), 3);
}

#[test]
fn focus_1_3_names_its_providers_anew() {
    let focus = format(r#"{"format": "focus"}"#);
    let (rows, rejects) = read(&fixture("focus_1_3.csv"), "bill.csv", &focus);
    assert_eq!(strings(&rows, ENTITY_ID), ["S1", "B1"]);
    assert_eq!(strings(&rows, cost::PROVIDER), ["AWS", "AWS"]);
    assert_eq!(strings(&rows, cost::CHARGE_CLASS), ["-", "Correction"]);
    assert_eq!(strings(&rows, cost::TAGS), ["{\"env\": \"prod\"}", "-"]);
    let billed = column(&rows, cost::BILLED_COST).unwrap().as_primitive::<Decimal128Type>();
    assert_eq!(billed.values(), &[150_000, -500_000_000_000]);
    check_rejects(
        &rejects,
        &[
            (2, "BilledCost", "not a decimal"),
            (3, "ChargePeriodEnd", "before"),
            (4, "BillingAccountId", "missing"),
        ],
    );
    let snake: String = String::from_utf8(fixture("focus_1_3.csv"))
        .unwrap()
        .replace("BilledCost", "billed_cost")
        .replace("ServiceProviderName", "provider_name");
    assert_eq!(read(snake.as_bytes(), "bill.csv", &focus).0, rows);
}

#[test]
fn focus_parquet_keeps_money_exact() {
    let texts = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let day = |ms: i64| Arc::new(TimestampMillisecondArray::from(vec![ms, ms])) as ArrayRef;
    let money = arrow::array::Decimal128Array::from(vec![123_456_789_i128, -1])
        .with_precision_and_scale(20, 10)
        .unwrap();
    let batch = RecordBatch::try_from_iter([
        ("BilledCost", Arc::new(money) as ArrayRef),
        ("EffectiveCost", Arc::new(Float64Array::from(vec![0.1, 1.5e-7])) as ArrayRef),
        ("BillingAccountId", texts(["b", "b"])),
        ("BillingCurrency", texts(["USD", "USD"])),
        ("ChargeCategory", texts(["Usage", "Usage"])),
        ("ChargePeriodStart", day(1_730_419_200_000)),
        ("ChargePeriodEnd", day(1_730_505_600_000)),
        ("ServiceName", texts(["s", "t"])),
        ("ProviderName", texts(["p", "p"])),
    ])
    .unwrap();
    let focus = format(r#"{"format": "focus"}"#);
    let (rows, rejects) = read(&parquet(&batch), "bill.parquet", &focus);
    assert_eq!(rejects, []);
    let money =
        |name| column(&rows, name).unwrap().as_primitive::<Decimal128Type>().values().to_vec();
    assert_eq!(money(cost::BILLED_COST), [12_345_678_900, -100]);
    assert_eq!(money(cost::EFFECTIVE_COST), [100_000_000_000, 150_000]);
    assert_eq!(times(&rows, TS).unwrap(), [1_730_419_200_000_000; 2]);
}

const CHARGES: &str = r#"{"format": "charges", "mapping": {"account": "acct", "provider":
    {"value": "AWS"}, "service": "svc", "currency": {"value": "USD"}, "start": "day",
    "known": "seen", "effective_cost": "cost", "region": "zone", "line": ["id", "part"],
    "version": "v"}}"#;

fn charges() -> RecordBatch {
    let texts = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
    let text = |values: [&'static str; 4]| texts(values.map(Some).to_vec());
    let numbers = |values: [i64; 4]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    RecordBatch::try_from_iter([
        ("acct", text(["a", "a", "b", "b"])),
        ("svc", text(["s", "t", "s", "s"])),
        ("zone", texts(vec![Some("north"), None, Some("south"), Some("north")])),
        ("day", text(["2026-01-01", "2026-01-01", "2026-01-02", "2026-01-02"])),
        ("seen", text(["2026-01-02T01:00:00Z"; 4])),
        ("cost", Arc::new(Float64Array::from(vec![0.1, -2.5, 1e-9, 7.0])) as ArrayRef),
        ("id", numbers([1, 2, 3, 1])),
        ("part", text(["x", "x", "y", "x"])),
        ("v", numbers([1, 1, 1, 2])),
    ])
    .unwrap()
}

#[test]
fn charges_are_the_same_from_text_and_from_parquet() {
    let format = format(CHARGES);
    let batch = charges();
    let (slow, rejects) = read(&parquet(&batch), "bill.parquet", &format);
    assert_eq!(rejects, []);
    assert_eq!(strings(&slow, ENTITY_ID), ["a", "a", "b", "b"]);
    assert_eq!(strings(&slow, cost::REGION), ["north", "-", "south", "north"]);
    assert_eq!(strings(&slow, cost::CURRENCY), ["USD"; 4]);
    let money = column(&slow, cost::EFFECTIVE_COST).unwrap().as_primitive::<Decimal128Type>();
    assert_eq!(money.values(), &[100_000_000_000, -2_500_000_000_000, 1_000, 7_000_000_000_000]);
    let lines = column(&slow, cost::LINE).unwrap().as_fixed_size_binary();
    assert_eq!(lines.value(0), lines.value(3), "1, x both");
    assert_ne!(lines.value(0), lines.value(1));
    assert_eq!(times(&slow, TS).unwrap(), [1_767_315_600_000_000; 4], "when they became known");

    // Typed, so that whole columns are converted; the amount that takes a closer look apart.
    let typed = |at: usize, kind: DataType| cast(batch.column(at), &kind).unwrap();
    let mut columns = batch.columns().to_vec();
    columns[3] = typed(3, DataType::Date32);
    columns[4] = typed(4, DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));
    let names =
        batch.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let named = names.iter().map(String::as_str).zip(columns.clone());
    let (rows, rejects) =
        read(&parquet(&RecordBatch::try_from_iter(named).unwrap()), "b.parquet", &format);
    assert_eq!((rejects.len(), strings_of(&rows)), (0, strings_of(&slow)));
    columns[5] = Arc::new(Float64Array::from(vec![0.1, -2.5, 1e-6, 7.0]));
    let named = names.iter().map(String::as_str).zip(columns);
    let (fast, rejects) =
        read(&parquet(&RecordBatch::try_from_iter(named).unwrap()), "b.parquet", &format);
    assert_eq!(rejects, []);
    let money = column(&fast, cost::EFFECTIVE_COST).unwrap().as_primitive::<Decimal128Type>();
    assert_eq!(money.values()[2], 1_000_000);

    let csv = "acct,svc,zone,day,seen,cost,id,part,v\n\
        a,s,north,2026-01-01,2026-01-02T01:00:00Z,0.1,1,x,1\n\
        a,t,,2026-01-01,2026-01-02T01:00:00Z,-2.5,2,x,1\n\
        b,s,south,2026-01-02,2026-01-02T01:00:00Z,0.000001,3,y,1\n\
        b,s,north,2026-01-02,2026-01-02T01:00:00Z,7,1,x,2\n\
        b,,north,2026-01-02,2026-01-02T01:00:00Z,7,1,x,2\n\
        b,s,north,2026-01-02,2026-01-02T01:00:00Z,7,1,,2\n\
        b,s,north,2026-01-02,2026-01-02T01:00:00Z,7,1,x,2.5\n";
    let (rows, rejects) = read(csv.as_bytes(), "bill.csv", &format);
    assert_eq!(strings_of(&rows), strings_of(&fast));
    check_rejects(
        &rejects,
        &[(4, "svc", "missing"), (5, "part", "missing"), (6, "v", "not a whole number")],
    );
}

/// Every row as text, dictionaries resolved.
fn strings_of(rows: &RecordBatch) -> Vec<String> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(rows).unwrap();
    writer.finish().unwrap();
    String::from_utf8(writer.into_inner()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_charge_is_what_focus_says_it_may_be() {
    let focus = format(r#"{"format": "focus"}"#);
    let head = "BilledCost,BillingAccountId,BillingCurrency,ChargeCategory,ChargeClass,ChargePeriodEnd,\
                ChargePeriodStart,EffectiveCost,ProviderName,ServiceName\n";
    let line = |category: &str, class: &str| {
        std::format!("1,b,USD,{category},{class},2026-01-02,2026-01-01,1,p,s\n")
    };
    let text = [head, &line("Usage", ""), &line("Fee", ""), &line("Credit", "Correct")].concat();
    let (rows, rejects) = read(text.as_bytes(), "bill.csv", &focus);
    assert_eq!(rows.num_rows(), 1);
    check_rejects(
        &rejects,
        &[(1, "ChargeCategory", "one of Usage"), (2, "ChargeClass", "Correction")],
    );
    let typo = CHARGES.replace("\"line\"", "\"lines\"");
    assert!(serde_json::from_str::<Format>(&typo).is_err(), "an unknown key is refused");
}

#[test]
fn cloudtrail_events() {
    let cloudtrail = format(r#"{"format": "cloudtrail"}"#);
    let (rows, rejects) = read(&fixture("cloudtrail.json"), "c.json", &cloudtrail);
    assert_eq!(
        strings(&rows, ENTITY_ID),
        ["arn:aws:iam::1:user/ann", "AWSService:ec2.amazonaws.com"]
    );
    assert_eq!(strings(&rows, audit::ERROR_CODE), ["AccessDenied", "-"]);
    assert_eq!(strings(&rows, audit::RESOURCES), ["[\"arn:aws:s3:::b/k\"]", "-"]);
    assert!(column(&rows, audit::READ_ONLY).unwrap().as_boolean().iter().all(|r| r == Some(true)));
    let raw: serde_json::Value = serde_json::from_str(&strings(&rows, audit::RAW)[0]).unwrap();
    assert_eq!(raw["eventID"], "e-1");
    check_rejects(
        &rejects,
        &[
            (2, "eventName", "missing"),
            (3, "", "not a CloudTrail event"),
            (4, "", "not a CloudTrail event"),
            (5, "eventTime", "outside"),
        ],
    );
    assert_eq!(rejects[0].line, Some(10));
}

#[test]
fn an_event_is_a_principals_a_sessions_or_an_accounts() {
    let event = r#"{"eventTime": "2024-05-01T12:00:00Z", "eventID": "e", "eventName": "GetObject",
        "eventSource": "s3.amazonaws.com", "awsRegion": "eu-west-1", "recipientAccountId": "1",
        "userIdentity": {"type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/Deploy/ci-42",
            "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::1:role/Deploy"}}}}"#;
    let event = event.replace('\n', " ");
    for (entity, expected) in [
        ("principal", "arn:aws:iam::1:role/Deploy"),
        ("session", "arn:aws:sts::1:assumed-role/Deploy/ci-42"),
        ("account", "aws:1"),
    ] {
        let by = format(&format!(r#"{{"format": "cloudtrail", "entity": "{entity}"}}"#));
        let (rows, rejects) = read(event.as_bytes(), "c.json", &by);
        assert_eq!((strings(&rows, ENTITY_ID), rejects.len()), (vec![expected.to_owned()], 0));
    }
    assert!(serde_json::from_str::<Format>(r#"{"format": "ocsf", "entity": "user"}"#).is_err());
}

/// Microsoft wraps records as Amazon does, in lower case; a cluster's name stands beside the format.
#[test]
fn other_providers_are_wrapped_and_named() {
    let azure = r#"{"records": [{"time": "2024-05-01T12:00:00Z", "tenantId": "t",
        "operationName": "Microsoft.Compute/virtualMachines/delete"}]}"#;
    let (rows, rejects) =
        read(azure.as_bytes(), "a.json", &format(r#"{"format": "azure-activity"}"#));
    assert_eq!((strings(&rows, audit::ACCOUNT), rejects.len()), (vec!["t".to_owned()], 0));
    let event = r#"{"kind": "Event", "verb": "list", "requestURI": "/apis", "auditID": "a",
        "requestReceivedTimestamp": "2024-05-01T12:00:00Z", "user": {"username": "ann"}}"#;
    let event = event.replace('\n', " ");
    for (keys, account) in [("", "kubernetes"), (r#", "account": "prod""#, "prod")] {
        let named = format(&format!(r#"{{"format": "kubernetes-audit"{keys}}}"#));
        let (rows, _) = read(event.as_bytes(), "audit.log", &named);
        assert_eq!(strings(&rows, audit::ACCOUNT), [account]);
    }
    // A log without an account is refused where none is named.
    let nobody = r#"{"time": "2024-05-01T12:00:00Z", "operationName": "x/read"}"#;
    let (_, rejects) =
        read(nobody.as_bytes(), "a.json", &format(r#"{"format": "azure-activity"}"#));
    check_rejects(&rejects, &[(0, "account", "name one beside the format")]);
}

fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn wide_batch(rows: usize) -> RecordBatch {
    let ids: DictionaryArray<Int32Type> =
        (0..rows).map(|row| ["m-1", "m-2", "m-3"][row % 3]).collect();
    let ts = (0..rows).map(|row| 1_700_000_000_000 + row as i64).collect::<Vec<_>>();
    let temp: Float32Array = (0..rows).map(|row| Some(row as f32 / 8.0)).collect();
    let flow: Int64Array = (0..rows).map(|row| Some(row as i64)).collect();
    RecordBatch::try_from_iter([
        ("flow, main", Arc::new(flow) as ArrayRef),
        ("machine", Arc::new(ids)),
        ("other", Arc::new(Float64Array::from(vec![0.0; rows]))),
        ("temp", Arc::new(temp)),
        ("ts", Arc::new(TimestampMillisecondArray::from(ts))),
    ])
    .unwrap()
}

#[test]
fn wide_parquet_is_cast_where_types_differ() {
    let bytes = parquet(&wide_batch(40_000));
    let (rows, rejects) = read(&bytes, "w.parquet", &format(WIDE));
    assert_eq!((rows.num_rows(), rejects.len()), (40_000, 0));
    assert_eq!(strings(&rows, ENTITY_ID)[39_998], "m-3");
    assert_eq!(floats(&rows, "flow")[7], 7.0);
    assert_eq!(times(&rows, TS).unwrap()[3], 1_700_000_000_003_000);
    let (rest, _) = read_from(&bytes, "w.parquet", &format(WIDE), 39_000).unwrap();
    assert_eq!(rest, rows.slice(39_000, 1000));
}

#[test]
fn wide_parquet_rejects_row_by_row() {
    let batch = RecordBatch::try_from_iter([
        (
            "machine",
            Arc::new(StringArray::from(vec![Some("a"), None, Some("c"), Some("d"), Some("")]))
                as ArrayRef,
        ),
        ("temp", Arc::new(Float64Array::from(vec![1.0, 2.0, f64::NAN, 4.0, 5.0]))),
        (
            "flow, main",
            Arc::new(Float32Array::from(vec![Some(1.0), Some(2.0), Some(3.0), None, Some(5.0)])),
        ),
        ("ts", Arc::new(TimestampMillisecondArray::from(vec![1, 2, 3, 4, i64::MAX / 1000]))),
    ])
    .unwrap();
    let (rows, rejects) = read(&parquet(&batch), "w.parquet", &format(WIDE));
    assert_eq!(strings(&rows, ENTITY_ID), ["a"]);
    check_rejects(
        &rejects,
        &[
            (1, "machine", "missing"),
            (2, "temp", "finite"),
            (3, "flow, main", "missing"),
            (4, "ts", "outside"),
        ],
    );
    assert!(rejects[2].raw.starts_with(b"{\"machine\":\"d\""), "{:?}", rejects[2]);
}

#[test]
fn refusals_name_file_and_column() {
    let refused = |bytes: &[u8], name: &str, format: &Format| {
        open(Bytes::copy_from_slice(bytes), name, format, 0, 0).err().unwrap()
    };
    let wide = format(WIDE);
    let error = refused(b"machine,ts,hot\n", "in/w.csv", &wide);
    let Error::Columns { file, missing, found } = &error else { panic!("{error}") };
    assert_eq!(
        (&**file, &**missing, &**found),
        ("in/w.csv", "temp, flow, main", "machine, ts, hot")
    );
    assert!(matches!(refused(b"PAR1 no", "w.parquet", &wide), Error::Corrupt { .. }));
    assert!(matches!(refused(b"x", "w.xls", &wide), Error::Configuration(_)));
    assert!(matches!(refused(b"\xff\xfe,\n", "w.csv", &wide), Error::Corrupt { .. }));
    let number = RecordBatch::try_from_iter([
        ("machine", Arc::new(StringArray::from(vec!["a"])) as ArrayRef),
        ("temp", Arc::new(StringArray::from(vec!["hot"]))),
        ("flow, main", Arc::new(Float32Array::from(vec![1.0]))),
        ("ts", Arc::new(Int64Array::from(vec![1]))),
    ])
    .unwrap();
    let error = refused(&parquet(&number), "w.parquet", &wide).to_string();
    assert!(error.contains("time_format"), "{error}");
    for (name, _, fixture, format) in formats() {
        assert!(fixture.is_empty() || read(b"", name, &format).1.is_empty(), "{name}");
    }
}

/// Name, whether it is text, a fixture, the format.
fn formats() -> Vec<(&'static str, bool, Vec<u8>, Format)> {
    let simple = |name: &str| format(&format!("{{\"format\": \"{name}\"}}"));
    let smd = "0.1,".repeat(37) + "0.2\n" + &"1,".repeat(37) + "x\n";
    let asd: String = (1..=19).map(|i| format!("f{i},")).collect::<String>();
    let asd = format!("{}\n{}0.5\n", asd.trim_end_matches(','), "0.25,".repeat(18));
    let skab = "datetime;Accelerometer1RMS;Accelerometer2RMS;Current;Pressure;Temperature;\
                Thermocouple;Voltage;Volume Flow RateRMS;anomaly\n\
                2020-03-01 15:44:06;1;2;3;4;5;6;7;8;0.0\n2020-03-01 15:44:07;1;2;;4;5;6;7;8;0.0\n";
    let ai4i = "UDI,Product ID,Type,Air temperature [K],Process temperature [K],\
                Rotational speed [rpm],Torque [Nm],Tool wear [min]\n1,M1,M,298.1,308.6,1551,42.8,0\n";
    let nab = "timestamp,value\n2014-07-01 00:00:00,10844\n2014-07-01 00:30:00,nan\n";
    let oci = "lineItem/tenantId,lineItem/intervalUsageStart,product/service,cost/myCost,\
               cost/currencyCode,tags/team\nt,2025-02-03T00:00Z,COMPUTE,0.5,USD,a\n";
    let cur = "bill_payer_account_id,line_item_line_item_type,line_item_usage_start_date,\
               line_item_unblended_cost,line_item_currency_code,line_item_product_code,resource_tags\n\
               p,Usage,2025-02-01 00:00:00,1,USD,AmazonS3,\"{\"\"user_team\"\": \"\"a\"\"}\"\n";
    let gcp = "{\"billing_account_id\": \"b\", \"service\": {\"description\": \"Compute\"}, \
               \"usage_start_time\": \"2025-02-03 04:00:00 UTC\", \"cost\": 1.1, \"currency\": \"USD\", \
               \"labels\": [{\"key\": \"a\", \"value\": \"b\"}], \"credits\": [{\"amount\": -0.1}]}\n";
    vec![
        ("train_FD009.txt", true, fixture("train_FD009.txt"), simple("cmapss")),
        ("machine-1-1.txt", true, smd.into_bytes(), simple("smd")),
        ("omi-1.csv", true, asd.into_bytes(), simple("asd")),
        ("valve1/0.csv", true, skab.as_bytes().to_vec(), simple("skab")),
        ("ai4i2020.csv", true, ai4i.as_bytes().to_vec(), simple("ai4i")),
        ("k/taxi.csv", true, nab.as_bytes().to_vec(), simple("nab")),
        ("wide.csv", true, fixture("wide.csv"), format(WIDE)),
        (
            "wide.ndjson",
            true,
            br#"{"machine": "m", "ts": "2024-05-01", "temp": 1, "flow, main": 2}"#.to_vec(),
            format(WIDE),
        ),
        ("long.csv", true, fixture("long.csv"), format(LONG)),
        ("bill.csv", true, fixture("focus_1_3.csv"), simple("focus")),
        ("bill.csv", true, fixture("focus_1_3.csv"), simple("focus").with_lines()),
        ("oci.csv", true, oci.as_bytes().to_vec(), simple("oci-cost").with_lines()),
        ("cur.csv", true, cur.as_bytes().to_vec(), simple("aws-cur").with_lines()),
        ("gcp.jsonl", true, gcp.as_bytes().to_vec(), simple("gcp-billing").with_lines()),
        ("c.json", true, fixture("cloudtrail.json"), simple("cloudtrail")),
        ("wide.parquet", false, parquet(&wide_batch(50)), format(WIDE)),
    ]
}

/// What stands in place of some bytes.
#[derive(Debug, Clone)]
struct Mutation {
    at: prop::sample::Index,
    length: usize,
    with: Vec<u8>,
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let with = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..6),
        prop::sample::select(vec![
            &b"\""[..],
            b"\n",
            b",",
            b"{",
            b"}",
            b"[",
            b"]",
            b"\\",
            b"nan",
            b"-1e99",
            b"\r\n\r\n",
            b"null",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    let one = (any::<prop::sample::Index>(), 0_usize..8, with)
        .prop_map(|(at, length, with)| Mutation { at, length, with });
    prop::collection::vec(one, 0..6)
}

fn mutate(bytes: &mut Vec<u8>, mutations: &[Mutation]) {
    for Mutation { at, length, with } in mutations {
        let from = at.index(bytes.len() + 1);
        let to = (from + length).min(bytes.len());
        bytes.splice(from..to, with.iter().copied());
    }
}

/// Reads whole and from `skip` on: the law of suffixes, and of accounting.
fn check_laws(bytes: &[u8], name: &str, format: &Format, skip: u64) {
    let Ok((rows, rejects)) = read_from(bytes, name, format, 0) else { return };
    let (suffix, suffix_rejects) = read_from(bytes, name, format, skip).unwrap();
    let kept = offsets(&rows).unwrap().values().iter().filter(|o| **o < 100 + skip).count();
    assert_eq!(suffix, rows.slice(kept, rows.num_rows() - kept));
    let later: Vec<&Reject> = rejects.iter().filter(|reject| reject.offset >= 100 + skip).collect();
    assert!(suffix_rejects.iter().eq(later), "{suffix_rejects:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_files_are_accounted_for(
        which in any::<prop::sample::Index>(),
        mutations in mutations(),
        skip in 0_u64..8,
    ) {
        let all = formats();
        let (name, _, mut bytes, format) = all[which.index(all.len())].clone();
        mutate(&mut bytes, &mutations);
        check_laws(&bytes, name, &format, skip);
    }

    #[test]
    fn any_bytes_are_accounted_for(
        which in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        ending in prop::sample::select(vec!["", ".gz", ".zst"]),
    ) {
        let all = formats();
        let (name, is_text, _, format) = all[which.index(all.len())].clone();
        let name = if is_text { format!("{name}{ending}") } else { name.to_owned() };
        check_laws(&bytes, &name, &format, 2);
    }

    #[test]
    fn cut_and_damaged_gzip_is_accounted_for(
        which in any::<prop::sample::Index>(),
        mutations in mutations(),
        skip in 0_u64..8,
    ) {
        let all = formats();
        let (name, is_text, bytes, format) = all[which.index(all.len())].clone();
        if is_text {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&bytes).unwrap();
            let mut packed = gzip.finish().unwrap();
            mutate(&mut packed, &mutations);
            check_laws(&packed, &format!("{name}.gz"), &format, skip);
        }
    }
}
