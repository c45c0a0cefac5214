//! Eight weeks of a small estate, as four streams tell of it: a bill, telemetry, audit events, Terraform.
//!
//! - `ZOMBIE` does nothing, and nobody has come near it since it was started.
//! - `BUSY` works; on the 20th of February its bill is corrected.
//! - `LARGE` needs a quarter of what it has; its bill calls it by its ARN.
//! - `GONE` does nothing either, and is terminated on the 10th of February.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

pub(crate) const ZOMBIE: &str = "i-0aaaaaaaaaaaaaaa1";
pub(crate) const BUSY: &str = "i-0bbbbbbbbbbbbbbb2";
pub(crate) const LARGE: &str = "i-0ccccccccccccccc3";
pub(crate) const GONE: &str = "i-0ddddddddddddddd4";
/// The volume of `BUSY`, which is attached to `LARGE` for a week.
pub(crate) const VOLUME: &str = "vol-0eeeeeeeeeeeeeee5";

const MACHINES: [(&str, &str, f64); 4] = [
    (ZOMBIE, "m5.large", 0.107),
    (BUSY, "m5.large", 0.107),
    (LARGE, "m5.4xlarge", 0.856),
    (GONE, "t3.medium", 0.0456),
];
/// The fifth of January 2026, a Monday, to the first of March, a Sunday.
const DAYS: u32 = 56;
/// The day on which `GONE` is terminated, from the first.
const TERMINATED: u32 = 36;

/// A day of the estate, from the first, as `2026-01-05`.
fn date(day: u32) -> String {
    match day {
        0..27 => format!("2026-01-{:02}", day + 5),
        27..55 => format!("2026-02-{:02}", day - 26),
        _ => format!("2026-03-{:02}", day - 54),
    }
}

/// Writes `bill/`, `vms/`, `trail/` and `declared/` into a directory.
pub(crate) fn write(place: &Path) {
    let write = |name: &str, text: String| {
        let path = place.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("bill/focus.csv", bill());
    for week in 0..DAYS / 7 {
        write(&format!("vms/week-{week}.csv"), telemetry(week * 7..(week + 1) * 7));
    }
    write("trail/events.json", json!({"Records": events()}).to_string());
    let instances = MACHINES.iter().map(|(id, size, _)| {
        let owner = if *id == ZOMBIE { "ann" } else { "bob" };
        let attributes = json!({"id": id, "instance_type": size, "subnet_id": "subnet-0fffffffffffffff6",
                                "tags": {"owner": owner, "env": "prod"}});
        json!({"attributes": attributes, "index_key": id})
    });
    let resources = [json!({"mode": "managed", "type": "aws_instance", "name": "vm",
                            "instances": instances.collect::<Vec<_>>()})];
    let state = json!({"version": 4, "serial": 1, "lineage": "l", "resources": resources});
    write("declared/2026-01-05T00:00:00Z.tfstate", state.to_string());
}

/// A row a machine and day, in the order of days; the correction among those of its day.
fn bill() -> String {
    let mut text = "BilledCost,EffectiveCost,BillingAccountId,BillingCurrency,ChargeCategory,ChargeClass,\
        ChargeDescription,ChargePeriodStart,ChargePeriodEnd,BillingPeriodStart,BillingPeriodEnd,ServiceProviderName,\
        HostProviderName,RegionId,ResourceId,ServiceCategory,ServiceName,SubAccountId,PricingCategory,PricingUnit,\
        PricingQuantity,ContractedUnitPrice,ListUnitPrice,Tags\n"
        .to_owned();
    let mut row = |day: u32, id: &str, class: &str, what: &str, cost: f64, price: f64| {
        let id = match id {
            LARGE => format!("arn:aws:ec2:eu-west-1:111122223333:instance/{LARGE}"),
            id => id.to_owned(),
        };
        let quantity = if price > 0.0 { "24" } else { "" };
        let price = if price > 0.0 { price.to_string() } else { String::new() };
        let category = if price.is_empty() { "" } else { "Standard" };
        let unit = if price.is_empty() { "" } else { "Hours" };
        writeln!(
            text,
            "{cost},{cost},111122223333,USD,Usage,{class},{what},{}T00:00:00Z,{}T00:00:00Z,,,AWS,AWS,eu-west-1,{id},\
             Compute,Amazon Elastic Compute Cloud,111122223333,{category},{unit},{quantity},{price},{price},",
            date(day),
            date(day + 1),
        )
        .unwrap();
    };
    for day in 0..DAYS {
        for (id, size, price) in MACHINES {
            if id == GONE && day > TERMINATED {
                continue;
            }
            let what = format!("${price} per On Demand Linux {size} Instance Hour");
            // In whole thousandths, so that sums are what people write.
            row(day, id, "", &what, (price * 24.0 * 1000.0).round() / 1000.0, price);
        }
        if day == 46 {
            row(day, BUSY, "Correction", "credit", -5.0, 0.0);
        }
    }
    text
}

/// An hour a row: CPU, memory (GiB of what there is), MB received and sent, connections.
fn telemetry(days: std::ops::Range<u32>) -> String {
    let mut text = "vm,ts,cpu,memory,capacity,rx,tx,connections\n".to_owned();
    for day in days {
        for hour in 0..24 {
            for (number, (id, ..)) in MACHINES.iter().enumerate() {
                if *id == GONE && day > TERMINATED {
                    continue;
                }
                let wave = f64::from((hour * 7 + day * 3 + number as u32) % 10) / 10.0;
                let values = match *id {
                    BUSY => [45.0 + 20.0 * wave, 5.0, 8.0, 900.0, 400.0 + wave, 20.0],
                    LARGE => [5.0 + 4.0 * wave, 6.0, 64.0, 50.0, 60.0, 5.0],
                    _ => [0.6 + 0.4 * wave, 0.5, 8.0, 0.01, 0.01, 0.0],
                };
                let values: Vec<String> = values.iter().map(f64::to_string).collect();
                writeln!(text, "{id},{}T{hour:02}:00:00Z,{}", date(day), values.join(",")).unwrap();
            }
        }
    }
    text
}

fn events() -> Vec<Value> {
    let one = |id: &str| json!({"instancesSet": {"items": [{"instanceId": id}]}});
    let volume = |id: &str| json!({"volumeId": VOLUME, "instanceId": id});
    let events = [
        (0, "ann", "StartInstances", one(ZOMBIE)),
        (1, "ann", "AttachVolume", volume(BUSY)),
        (20, "bob", "DetachVolume", volume(BUSY)),
        (20, "bob", "AttachVolume", volume(LARGE)),
        (27, "bob", "DetachVolume", volume(LARGE)),
        (27, "bob", "AttachVolume", volume(BUSY)),
        (30, "bob", "RebootInstances", one(BUSY)),
        (TERMINATED, "bob", "TerminateInstances", one(GONE)),
    ];
    events
        .into_iter()
        .enumerate()
        .map(|(number, (day, who, operation, parameters))| {
            json!({
                "eventVersion": "1.11", "eventID": format!("event-{number}"),
                "eventTime": format!("{}T09:{number:02}:00Z", date(day)), "eventName": operation,
                "eventSource": "ec2.amazonaws.com", "awsRegion": "eu-west-1", "readOnly": false,
                "recipientAccountId": "111122223333", "sourceIPAddress": "198.51.100.7", "userAgent": "cli",
                "requestParameters": parameters,
                "userIdentity": {"type": "IAMUser", "arn": format!("arn:aws:iam::111122223333:user/{who}")},
            })
        })
        .collect()
}

/// The job's configuration.
pub(crate) fn job(name: &str, epoch_records: u64, workers: usize, checkpoints: &str) -> String {
    format!(
        r#"
[catalog]
url = "results-{name}"
[run]
workers = {workers}
epoch_records = {epoch_records}
checkpoint_interval = "{checkpoints}"
fsync = false

[resources]

[[stream]]
name = "bill"
[stream.source]
path = "bill"
format = "focus"
[stream.bill]
by = ["region", "resource"]

[[stream]]
name = "vms"
window = {{ kind = "tumbling", duration_us = 86_400_000_000 }}
[stream.source]
path = "vms"
format = "sensor-wide"
mapping = {{ entity = "vm", time = "ts", channels = ["cpu", "memory", "capacity", "rx", "tx", "connections"] }}
[stream.utilisation]
cpu = "cpu"
memory = {{ channel = "memory", of = "capacity" }}
net_in = "rx"
net_out = "tx"
connections = "connections"

[[stream]]
name = "trail"
window = {{ kind = "tumbling", duration_us = 3_600_000_000 }}
[stream.source]
path = "trail"
format = "cloudtrail"

[[stream]]
name = "terraform"
[stream.source]
path = "declared"
format = "terraform"
"#
    )
}
