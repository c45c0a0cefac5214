//! Providers' own exports, line type by line type, as FOCUS has them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails, fails the test")]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Decimal128Type;
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use cloudops_datasets::{Error, Format, Reject, open};
use cloudops_operators::schema::column;
use parquet::arrow::ArrowWriter;

/// Everything a reader gives, rows with FOCUS's other columns.
fn read(text: &[u8], name: &str, format: &str) -> (RecordBatch, Vec<Reject>) {
    let format: Format = serde_json::from_str(format).unwrap();
    let format = format.with_lines();
    let mut reader = open(Bytes::copy_from_slice(text), name, &format, 0, 0).unwrap();
    let (mut rows, mut rejects) = (Vec::new(), Vec::new());
    while let Some(batch) = reader.next_batch().unwrap() {
        rows.push(batch.rows);
        rejects.extend(batch.rejects);
    }
    (concat_batches(&format.schema(), &rows).unwrap(), rejects)
}

/// Rows as text: the columns asked for, money without the noughts behind it.
fn shown(rows: &RecordBatch, columns: &[&str]) -> Vec<String> {
    let cell = |name: &&str, row: usize| {
        let array = column(rows, name).unwrap();
        match array.as_primitive_opt::<Decimal128Type>() {
            _ if array.is_null(row) => "-".to_owned(),
            Some(money) => {
                let text = money.value_as_string(row);
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            None => array_value_to_string(array, row).unwrap(),
        }
    };
    let line = |row| columns.iter().map(|name| cell(name, row)).collect::<Vec<_>>().join(" | ");
    (0..rows.num_rows()).map(line).collect()
}

fn told(rejects: &[Reject]) -> Vec<String> {
    let tell = |reject: &Reject| {
        format!("{} {}: {}", reject.offset, reject.field.as_deref().unwrap_or("-"), reject.reason)
    };
    rejects.iter().map(tell).collect()
}

const AWS: [&str; 24] = [
    "bill/PayerAccountId",
    "bill/BillType",
    "bill/InvoiceId",
    "bill/BillingPeriodStartDate",
    "bill/BillingPeriodEndDate",
    "lineItem/UsageAccountId",
    "lineItem/LineItemType",
    "lineItem/UsageStartDate",
    "lineItem/UsageEndDate",
    "lineItem/ProductCode",
    "lineItem/ResourceId",
    "lineItem/CurrencyCode",
    "lineItem/UnblendedCost",
    "reservation/ReservationARN",
    "reservation/EffectiveCost",
    "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod",
    "reservation/UnusedRecurringFee",
    "savingsPlan/SavingsPlanARN",
    "savingsPlan/SavingsPlanEffectiveCost",
    "savingsPlan/TotalCommitmentToDate",
    "savingsPlan/UsedCommitment",
    "resourceTags/user:Team",
    "resourceTags/aws:createdBy",
    "product/region",
];

/// A line of the report: its type, its cost, and what else it says.
fn aws(line: &str, cost: &str, more: &[(&str, &str)]) -> Vec<String> {
    let cell = |name: &&str| {
        let told = more.iter().find(|(column, _)| name.ends_with(column));
        match (*name, told) {
            (_, Some((_, value))) => (*value).to_owned(),
            ("bill/PayerAccountId", _) => "payer".to_owned(),
            ("bill/InvoiceId", _) => "i-1".to_owned(),
            ("bill/BillingPeriodStartDate", _) => "2025-02-01T00:00:00Z".to_owned(),
            ("bill/BillingPeriodEndDate", _) => "2025-03-01T00:00:00Z".to_owned(),
            ("lineItem/UsageAccountId", _) => "used-by".to_owned(),
            ("lineItem/LineItemType", _) => line.to_owned(),
            ("lineItem/UsageStartDate", _) => "2025-02-03T04:00:00Z".to_owned(),
            ("lineItem/UsageEndDate", _) => "2025-02-03T05:00:00Z".to_owned(),
            ("lineItem/ProductCode", _) => "AmazonEC2".to_owned(),
            ("lineItem/CurrencyCode", _) => "USD".to_owned(),
            ("lineItem/UnblendedCost", _) => cost.to_owned(),
            _ => String::new(),
        }
    };
    AWS.iter().map(cell).collect()
}

fn aws_lines() -> Vec<Vec<String>> {
    vec![
        aws(
            "Usage",
            "1.25",
            &[("user:Team", "a \"b\""), ("aws:createdBy", "me"), ("product/region", "east")],
        ),
        aws(
            "DiscountedUsage",
            "0",
            &[("ReservationARN", "arn:ri"), ("reservation/EffectiveCost", "0.7")],
        ),
        aws(
            "SavingsPlanCoveredUsage",
            "3",
            &[("SavingsPlanARN", "arn:sp"), ("SavingsPlanEffectiveCost", "2.1")],
        ),
        aws("SavingsPlanNegation", "-3", &[("SavingsPlanARN", "arn:sp")]),
        aws(
            "SavingsPlanRecurringFee",
            "5",
            &[
                ("SavingsPlanARN", "arn:sp"),
                ("TotalCommitmentToDate", "5"),
                ("UsedCommitment", "2.1"),
            ],
        ),
        aws("SavingsPlanUpfrontFee", "100", &[("SavingsPlanARN", "arn:sp")]),
        aws(
            "RIFee",
            "30",
            &[
                ("ReservationARN", "arn:ri"),
                ("UnusedAmortizedUpfrontFeeForBillingPeriod", "1.5"),
                ("UnusedRecurringFee", "2"),
            ],
        ),
        aws("Fee", "200", &[("ReservationARN", "arn:ri")]),
        aws("Fee", "12", &[]),
        aws("Tax", "0.5", &[]),
        aws("Credit", "-4", &[]),
        aws("Refund", "-2", &[("UsageStartDate", "2025-01-30T00:00:00Z"), ("UsageEndDate", "")]),
        aws("Refund", "-2", &[]),
        aws("EdpDiscount", "-1", &[]),
        aws("Usage", "dear", &[]),
        aws("Gift", "1", &[]),
        aws("DiscountedUsage", "0", &[("ReservationARN", "arn:ri")]),
    ]
}

fn csv(header: &[impl AsRef<str>], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| {
        let quoted = cells.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")));
        quoted.collect::<Vec<_>>().join(",") + "\n"
    };
    let header = line(header.iter().map(AsRef::as_ref).collect());
    let rows = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    header + &rows.collect::<String>()
}

#[test]
fn lines_of_amazon_are_billed_and_amortised() {
    let (rows, rejects) =
        read(csv(&AWS, &aws_lines()).as_bytes(), "cur.csv", r#"{"format": "aws-cur"}"#);
    let columns =
        ["charge_category", "charge_class", "charge_frequency", "billed_cost", "effective_cost"];
    let expected = [
        "Usage |  | Usage-Based | 1.25 | 1.25",
        "Usage |  | Usage-Based | 0 | 0.7",
        "Usage |  | Usage-Based | 0 | 2.1",
        "Usage |  | Usage-Based | 0 | 0",
        "Purchase |  | Recurring | 5 | 2.9",
        "Purchase |  | One-Time | 100 | 0",
        "Purchase |  | Recurring | 30 | 3.5",
        "Purchase |  | One-Time | 200 | 0",
        "Purchase |  | One-Time | 12 | 12",
        "Tax |  | One-Time | 0.5 | 0.5",
        "Credit |  | One-Time | -4 | -4",
        "Adjustment | Correction | One-Time | -2 | -2",
        "Adjustment |  | One-Time | -2 | -2",
        "Adjustment |  | One-Time | -1 | -1",
    ];
    assert_eq!(shown(&rows, &columns), expected.map(|line| line.replace("|  |", "| - |")));
    let whose = ["entity_id", "billing_account", "service", "invoice", "region", "tags"];
    assert_eq!(
        shown(&rows, &whose)[0],
        r#"used-by | payer | AmazonEC2 | i-1 | east | {"Team":"a \"b\"","aws:createdBy":"me"}"#
    );
    let committed = ["commitment", "commitment_category", "commitment_status", "pricing_category"];
    let shown_all = shown(&rows, &committed);
    assert_eq!(shown_all[1], "arn:ri | Usage | Used | Committed");
    assert_eq!(shown_all[2], "arn:sp | Spend | Used | Committed");
    assert_eq!(shown_all[4], "arn:sp | Spend | - | -");
    assert_eq!(
        told(&rejects),
        [
            r#"14 lineItem/UnblendedCost: not a decimal number: "dear""#,
            r#"15 lineItem/LineItemType: unknown line item type "Gift""#,
            "16 reservation/EffectiveCost: missing",
        ]
    );
}

#[test]
fn cur_2_is_the_same_report_under_other_names() {
    let snake = |name: &str| {
        let mut out = String::new();
        for c in name.chars() {
            match c {
                '/' | ':' => out.push('_'),
                c if c.is_ascii_uppercase() && !out.ends_with('_') && !out.is_empty() => {
                    out.push('_');
                    out.push(c.to_ascii_lowercase());
                }
                c => out.push(c.to_ascii_lowercase()),
            }
        }
        out
    };
    let format = r#"{"format": "aws-cur"}"#;
    let lines = aws_lines();
    let (legacy, _) = read(csv(&AWS, &lines).as_bytes(), "cur.csv", format);
    // Without tags, whose names lose their letters' case.
    let columns: Vec<_> = (0..legacy.num_columns()).collect();
    let known = legacy.schema().index_of("tags").unwrap();
    let columns: Vec<_> = columns.into_iter().filter(|at| *at != known).collect();
    let names: Vec<String> = AWS.iter().map(|name| snake(name)).collect();
    assert!(names.contains(&"line_item_unblended_cost".to_owned()));
    let (snaked, rejects) = read(csv(&names, &lines).as_bytes(), "cur.csv", format);
    assert_eq!(snaked.project(&columns).unwrap(), legacy.project(&columns).unwrap());
    assert_eq!(rejects.len(), 3);
    assert_eq!(shown(&snaked, &["tags"])[0], r#"{"aws_created_by":"me","team":"a \"b\""}"#);
    // And as Parquet.
    let arrays = (0..names.len()).map(|at| {
        let cells =
            lines.iter().map(|line| Some(line[at].as_str()).filter(|cell| !cell.is_empty()));
        (names[at].as_str(), Arc::new(cells.collect::<StringArray>()) as ArrayRef)
    });
    let batch =
        RecordBatch::try_from_iter_with_nullable(arrays.map(|(n, a)| (n, a, true))).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let (typed, _) = read(&writer.into_inner().unwrap(), "cur.parquet", format);
    assert_eq!(typed, snaked);
}

#[test]
fn cur_2_keeps_tags_and_product_in_objects() {
    let header = "bill_payer_account_id,line_item_line_item_type,line_item_usage_start_date,\
                  line_item_unblended_cost,line_item_currency_code,line_item_product_code,product,resource_tags";
    let row = r#"p,Usage,2025-02-01 00:00:00,1,USD,AmazonS3,"{""product_name"": ""Amazon Simple Storage Service""}","{""user_team"": ""a""}""#;
    let bad = r#"p,Usage,2025-02-01 00:00:00,1,USD,AmazonS3,,oops"#;
    let text = format!("{header}\n{row}\n{bad}\n");
    let (rows, rejects) = read(text.as_bytes(), "cur.csv", r#"{"format": "aws-cur"}"#);
    let expected = [r#"Amazon Simple Storage Service | {"team":"a"}"#];
    assert_eq!(shown(&rows, &["service", "tags"]), expected);
    assert_eq!(told(&rejects), [r#"1 resourceTags: not a JSON object of tags: "oops""#]);
}

#[test]
fn a_file_of_something_else_is_refused() {
    let format: Format = serde_json::from_str(r#"{"format": "aws-cur"}"#).unwrap();
    let opened = open(Bytes::from_static(b"a,b\n1,2\n"), "x.csv", &format, 0, 0);
    let Err(Error::Columns { missing, .. }) = opened else { panic!("it was read") };
    assert!(missing.contains("lineItem/UnblendedCost"), "{missing}");
}

#[test]
fn microsoft_bills_a_commitment_once() {
    let header = "BillingAccountId,SubscriptionId,Date,MeterCategory,ServiceFamily,CostInBillingCurrency,\
                  BillingCurrencyCode,ChargeType,PricingModel,benefitId,Quantity,UnitPrice,ResourceId,Tags";
    let rows = [
        r#"b,s,02/03/2025,Virtual Machines,Compute,1.5,EUR,Usage,OnDemand,,3,0.5,/R/One,"""a"": ""b"",""c"": ""d""""#,
        "b,s,2025-02-03,Virtual Machines,Compute,0.6,EUR,Usage,Reservation,/order/1,3,0.5,/r/one,{}",
        "b,,02/03/2025,Virtual Machines,Compute,0.2,EUR,UnusedReservation,Reservation,/order/1,1,0,,",
        "b,,02/03/2025,Virtual Machines,Compute,90,EUR,Purchase,Reservation,/order/1,1,90,,",
        "b,,02/03/2025,Virtual Machines,Compute,-30,EUR,Refund,Reservation,/order/1,1,-30,,",
        "b,,02/03/2025,,AI + Machine Learning,7,EUR,Tax,,,1,7,,",
        "b,,02/03/2025,Support,Elsewhere,0.01,EUR,RoundingAdjustment,,,1,0,,",
        "b,s,yesterday,Storage,Storage,1,EUR,Usage,OnDemand,,1,1,,",
        "b,s,02/03/2025,Storage,Storage,1,EUR,Usage,Barter,,1,1,,",
        "b,s,02/03/2025,Storage,Storage,1,EUR,Usage,OnDemand,,1,1,,oops",
    ];
    // The product stands where a charge has no meter.
    let rows = rows.map(|row| format!("{row},Some product"));
    let text = format!("\u{feff}{header},ProductName\n{}\n", rows.join("\n"));
    let columns = [
        "charge_category",
        "charge_class",
        "billed_cost",
        "effective_cost",
        "commitment_status",
        "service",
    ];
    let amortised = [
        "Usage | - | 1.5 | 1.5 | - | Virtual Machines",
        "Usage | - | 0 | 0.6 | Used | Virtual Machines",
        "Usage | - | 0 | 0.2 | Unused | Virtual Machines",
        "Purchase | - | 90 | 0 | - | Virtual Machines",
        "Purchase | Correction | -30 | 0 | - | Virtual Machines",
        "Tax | - | 7 | 7 | - | Some product",
        "Adjustment | - | 0.01 | 0.01 | - | Support",
    ];
    let (rows, rejects) = read(text.as_bytes(), "a.csv", r#"{"format": "azure-amortised-cost"}"#);
    assert_eq!(shown(&rows, &columns), amortised);
    let (invoiced, _) = read(text.as_bytes(), "a.csv", r#"{"format": "azure-cost"}"#);
    assert_eq!(shown(&invoiced, &columns)[1], "Usage | - | 0.6 | 0.6 | Used | Virtual Machines");
    assert_eq!(
        shown(&rows, &["entity_id", "resource", "tags", "contracted_cost", "service_category"])[0],
        r#"s | /r/one | {"a": "b","c": "d"} | 1.5 | Compute"#
    );
    let categories = shown(&rows, &["entity_id", "service_category"]);
    assert_eq!((&*categories[5], &*categories[6]), ("b | AI and Machine Learning", "b | Other"));
    assert_eq!(
        told(&rejects),
        [
            r#"7 Date: not a time: "yesterday""#,
            r#"8 PricingModel: unknown pricing model "Barter""#,
            r#"9 Tags: not an object of tags: "oops""#,
        ]
    );
}

#[test]
fn credits_of_google_belong_to_their_row() {
    let row = |more: &str| {
        format!(
            r#"{{"billing_account_id": "b", "currency": "USD", "usage_start_time": "2025-02-03 04:00:00 UTC",
                "usage_end_time": "2025-02-03 05:00:00 UTC", "invoice": {{"month": "202512"}}, {more}}}"#
        )
        .replace('\n', " ")
    };
    let service = r#""service": {"id": "6F81", "description": "Compute Engine"}"#;
    let rows = [
        row(&format!(
            r#"{service}, "cost": 1.1, "project": {{"id": "p", "name": "Project"}}, "cost_type": "regular",
               "labels": [{{"key": "team", "value": "a"}}, {{"key": "env", "value": null}}],
               "location": {{"region": "europe-west1", "zone": "europe-west1-b"}},
               "resource": {{"name": "vm", "global_name": "//compute/vm"}},
               "usage": {{"amount": 3600.000000001, "unit": "seconds", "pricing_unit": "hour"}},
               "credits": [{{"name": "sud", "amount": -0.1}}, {{"name": "cud", "amount": "-0.025", "type": "X"}}]"#
        )),
        row(&format!(r#"{service}, "cost": 0.3, "cost_type": "tax", "credits": []"#)),
        row(&format!(
            r#"{service}, "cost": -2e-3, "cost_type": "adjustment",
            "adjustment_info": {{"type": "PRICE_CORRECTION", "mode": "MANUAL_ADJUSTMENT"}}"#
        )),
        row(&format!(r#"{service}, "cost": 0.001, "cost_type": "rounding_error""#)),
        row(&format!(r#"{service}, "cost": 1, "cost_type": "gift""#)),
        row(&format!(r#"{service}, "cost": 1, "credits": [{{"amount": "much"}}]"#)),
        row(r#""cost": 1"#),
    ];
    let text = rows.join("\n");
    let (rows, rejects) = read(text.as_bytes(), "export.jsonl", r#"{"format": "gcp-billing"}"#);
    let columns = ["entity_id", "charge_category", "charge_class", "billed_cost", "effective_cost"];
    assert_eq!(
        shown(&rows, &columns),
        [
            "p | Usage | - | 0.975 | 0.975",
            "b | Tax | - | 0.3 | 0.3",
            "b | Adjustment | Correction | -0.002 | -0.002",
            "b | Adjustment | - | 0.001 | 0.001",
        ]
    );
    let columns =
        ["service", "region", "resource", "tags", "consumed_quantity", "billing_period_end"];
    assert_eq!(
        shown(&rows, &columns)[0],
        "Compute Engine | europe-west1 | //compute/vm | {\"env\":\"\",\"team\":\"a\"} | 3600.000000001 \
         | 2026-01-01T00:00:00Z"
    );
    assert_eq!(
        told(&rejects),
        [
            r#"4 cost_type: unknown cost type "gift""#,
            r#"5 credits: not a decimal number: "much""#,
            "6 -: the row names no service",
        ]
    );
    // Flat, as CSV: nested fields under their paths.
    let flat = "billing_account_id,service.description,project_id,usage_start_time,cost,currency,credits,labels\n\
                b,Compute Engine,p,2025-02-03 04:00:00 UTC,1.1,USD,\"[{\"\"amount\"\": -0.125}]\",\"{\"\"team\"\": \"\"a\"\"}\"\n";
    let (rows, _) = read(flat.as_bytes(), "export.csv", r#"{"format": "gcp-billing"}"#);
    let columns = ["entity_id", "service", "billed_cost", "tags"];
    assert_eq!(shown(&rows, &columns), [r#"p | Compute Engine | 0.975 | {"team":"a"}"#]);
}

#[test]
fn machines_are_named_in_the_details_of_a_price() {
    let check = |text: &str, name: &str, format: &str, expected: &[&str]| {
        let (rows, rejects) = read(text.as_bytes(), name, &format!(r#"{{"format": "{format}"}}"#));
        assert_eq!(told(&rejects), [""; 0], "{format}");
        assert_eq!(shown(&rows, &["sku_price_details"]), expected, "{format}");
    };
    let legacy = "bill/PayerAccountId,lineItem/LineItemType,lineItem/UsageStartDate,lineItem/UnblendedCost,\
                  lineItem/CurrencyCode,lineItem/ProductCode,product/instanceType,product/operatingSystem\n\
                  p,Usage,2025-02-03T04:00:00Z,1,USD,AmazonEC2,m5.large,Linux\n\
                  p,Usage,2025-02-03T04:00:00Z,1,USD,AmazonS3,,\n";
    let named = r#"{"InstanceType":"m5.large","OperatingSystem":"Linux"}"#;
    check(legacy, "cur.csv", "aws-cur", &[named, "-"]);
    let second = r#"{"bill_payer_account_id": "p", "line_item_line_item_type": "Usage",
        "line_item_usage_start_date": "2025-02-03T04:00:00Z", "line_item_unblended_cost": "1",
        "line_item_currency_code": "USD", "product": {"product_name": "EC2", "instance_type": "m5.large",
        "operating_system": "Linux"}}"#;
    check(&second.replace('\n', " "), "cur.jsonl", "aws-cur", &[named]);
    let azure = "BillingAccountId,SubscriptionId,Date,MeterCategory,CostInBillingCurrency,BillingCurrencyCode,\
                 ChargeType,PricingModel,AdditionalInfo\n\
                 b,s,02/03/2025,Virtual Machines,1,EUR,Usage,OnDemand,\
                 \"{\"\"ServiceType\"\":\"\"Standard_D2s_v3\"\",\"\"VCPUs\"\":2}\"\n\
                 b,s,02/03/2025,Storage,1,EUR,Usage,OnDemand,whatever it likes\n";
    check(azure, "x.csv", "azure-cost", &[r#"{"InstanceType":"Standard_D2s_v3"}"#, "-"]);
    let google = r#"{"billing_account_id": "b", "currency": "USD", "cost": 1,
        "usage_start_time": "2025-02-03 04:00:00 UTC", "service": {"description": "Compute Engine"},
        "system_labels": [{"key": "compute.googleapis.com/cores", "value": "4"},
                          {"key": "compute.googleapis.com/machine_spec", "value": "n2-standard-4"}]}"#;
    let named = r#"{"InstanceType":"n2-standard-4"}"#;
    check(&google.replace('\n', " "), "x.jsonl", "gcp-billing", &[named]);
}

#[test]
fn oracle_says_what_it_corrects() {
    let text = "lineItem/referenceNo,lineItem/tenantId,lineItem/intervalUsageStart,lineItem/intervalUsageEnd,\
                product/service,product/compartmentId,product/region,product/resourceId,usage/billedQuantity,\
                cost/productSku,cost/unitPrice,cost/myCost,cost/currencyCode,lineItem/isCorrection,tags/team,\
                tags/Oracle-Tags.CreatedBy\n\
                1,t,2025-02-03T00:00Z,2025-02-03T01:00Z,COMPUTE,c,eu-1,r,2,B1,0.25,0.5,USD,false,a,me\n\
                2,t,2025-02-03T00:00Z,2025-02-03T01:00Z,COMPUTE,,eu-1,,-2,B1,0.25,-0.5,USD,true,,\n\
                3,t,2025-02-03T00:00Z,2025-02-03T01:00Z,COMPUTE,c,eu-1,r,2,B1,0.25,0.5,USD,perhaps,,\n\
                4,t,2025-02-03T00:00Z,2025-02-03T01:00Z,,c,eu-1,r,2,B1,0.25,0.5,USD,false,,\n";
    let format = r#"{"format": "oci-cost", "line": ["lineItem/referenceNo"]}"#;
    let (rows, rejects) = read(text.as_bytes(), "report.csv", format);
    let columns = ["entity_id", "service", "charge_class", "billed_cost", "sku", "tags"];
    assert_eq!(
        shown(&rows, &columns),
        [
            r#"c | COMPUTE | - | 0.5 | B1 | {"Oracle-Tags.CreatedBy":"me","team":"a"}"#,
            "t | COMPUTE | Correction | -0.5 | B1 | -",
        ]
    );
    assert!(column(&rows, "line").unwrap().null_count() == 0);
    assert_eq!(
        told(&rejects),
        [r#"2 lineItem/isCorrection: unknown truth value "perhaps""#, "3 product/service: missing",]
    );
}
