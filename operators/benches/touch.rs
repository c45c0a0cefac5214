//! What audit events touch: describing calls, reads of data, and launches.
//!
//! `cargo bench --workspace --bench touch`

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use cloudops_operators::resource::touch::touches;
use cloudops_operators::schema::audit;
use cpu_time::ThreadTime;
use serde_json::{Value, json};

const EVENTS: usize = 2_048;
/// Batches a measurement.
const REPEATS: usize = 20;

fn main() {
    let role = json!({
        "type": "AssumedRole", "principalId": "AROAEXAMPLE:i-0123456789abcdef0",
        "arn": "arn:aws:sts::123456789012:assumed-role/web/i-0123456789abcdef0",
        "accountId": "123456789012", "accessKeyId": "ASIAEXAMPLE",
        "sessionContext": {
            "sessionIssuer": {"type": "Role", "principalId": "AROAEXAMPLE", "userName": "web",
                "arn": "arn:aws:iam::123456789012:role/web", "accountId": "123456789012"},
            "attributes": {"mfaAuthenticated": "false", "creationDate": "2024-08-01T12:00:00Z"},
            "ec2RoleDelivery": "2.0",
        },
    });
    let describe = json!({"userIdentity": role, "requestParameters":
        {"instancesSet": {"items": [{"instanceId": "i-0123456789abcdef0"}]}, "filterSet": {}}});
    report("describing", "ec2", "DescribeInstances", true, None, &describe);
    let read = json!({
        "userIdentity": role,
        "requestParameters": {"bucketName": "logs", "Host": "logs.s3.eu-west-1.amazonaws.com",
            "key": "2024/08/01/part-00000.parquet"},
        "additionalEventData": {"SignatureVersion": "SigV4", "CipherSuite": "TLS_AES_128_GCM_SHA256",
            "bytesTransferredIn": 0, "bytesTransferredOut": 1_048_576, "x-amz-id-2": "A".repeat(76)},
    });
    let listed = json!(["arn:aws:s3:::logs/2024/08/01/part-00000.parquet", "arn:aws:s3:::logs"]);
    report("reading data", "s3", "GetObject", true, Some(listed), &read);
    let item = json!({
        "instanceId": "i-0123456789abcdef0", "imageId": "ami-0123456789abcdef0",
        "instanceState": {"code": 0, "name": "pending"}, "privateDnsName": "ip-10-0-0-1.ec2.internal",
        "keyName": "ops", "instanceType": "m5.large", "launchTime": 1_722_513_600_000_i64,
        "placement": {"availabilityZone": "eu-west-1a", "tenancy": "default"},
        "subnetId": "subnet-0123456789abcdef0", "vpcId": "vpc-0123456789abcdef0",
        "groupSet": {"items": [{"groupId": "sg-0123456789abcdef0", "groupName": "web"}]},
        "networkInterfaceSet": {"items": [{"networkInterfaceId": "eni-0123456789abcdef0",
            "subnetId": "subnet-0123456789abcdef0", "vpcId": "vpc-0123456789abcdef0",
            "macAddress": "0a:00:00:00:00:01", "privateIpAddress": "10.0.0.1"}]},
    });
    let launch = json!({
        "userIdentity": role,
        "requestParameters": {"instancesSet": {"items": [{"imageId": "ami-0123456789abcdef0",
            "minCount": 1, "maxCount": 1}]}, "instanceType": "m5.large", "monitoring": {"enabled": false}},
        "responseElements": {"requestId": "req", "instancesSet": {"items": [item]}},
    });
    report("launching", "ec2", "RunInstances", false, None, &launch);
}

fn report(
    name: &str,
    service: &str,
    operation: &str,
    reads: bool,
    listed: Option<Value>,
    raw: &Value,
) {
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; EVENTS])) };
    let may = |text: Option<String>| -> ArrayRef {
        Arc::new(StringArray::from(vec![text.as_deref(); EVENTS]))
    };
    let times = TimestampMicrosecondArray::from_iter_values(0..EVENTS as i64);
    let columns: Vec<ArrayRef> = vec![
        same("arn:aws:iam::123456789012:role/web"),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(UInt64Array::from_iter_values(0..EVENTS as u64)),
        same("event"),
        same("aws"),
        same("123456789012"),
        same("eu-west-1"),
        same("AssumedRole"),
        may(None),
        may(None),
        same(&format!("{service}.amazonaws.com")),
        same(operation),
        Arc::new(BooleanArray::from(vec![reads; EVENTS])),
        may(None),
        may(listed.map(|list| list.to_string())),
        same(&raw.to_string()),
    ];
    let events = RecordBatch::try_new(audit::schema(), columns).expect("the schema's columns");
    let mut best = u64::MAX;
    for _ in 0..5 {
        let begin = ThreadTime::now();
        for _ in 0..REPEATS {
            black_box(touches(black_box(&events)).expect("audit events"));
        }
        best = best.min(begin.elapsed().as_nanos() as u64);
    }
    #[allow(clippy::print_stdout, reason = "a bench prints its result")]
    {
        let each = best as f64 / (EVENTS * REPEATS) as f64;
        println!("{name} ({} bytes): {each:.0} ns an event", raw.to_string().len());
    }
}
