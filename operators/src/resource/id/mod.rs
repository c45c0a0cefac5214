//! One id for a resource, whatever stream names it: its *canonical* id.
//!
//! | provider | canonical id | other names of the same |
//! |---|---|---|
//! | AWS, ids that are unique in all regions (`i-`, `vol-`, `sg-`, `subnet-`, `eni-`, `fs-`, …) | the id | its ARN |
//! | AWS, buckets | the name | the bucket's ARN, an object's ARN |
//! | AWS, all else | the ARN | the ARN of a version, an index, a session; a queue's URL; with a place, the name |
//! | Azure | the path, in lower case | any letter case |
//! | Google | `//<service>/projects/…` | `projects/…`; a self link |
//! | Kubernetes | `<cluster>/<namespace>/<resource>.<group>/<name>`; no namespace of what has none | |
//!
//! The choice follows what carries which: a FOCUS bill has the short ids of EC2's instances and volumes and
//! the ARNs of nearly all else, sensor streams have what agents find on a machine, Terraform's `id` is the
//! short id or a name with the ARN beside it ([`declared`]), and CloudTrail's parameters are short ids or
//! names in the event's account and region ([`named`]). Buckets have their name for an id since that is
//! what bills, parameters and Terraform have, and it is unique. Within a partition's account a role's, user's
//! or policy's name is unique without its path, which parameters lack: the ARN here has none.
//!
//! What names do not tell is not guessed: a secret's ARN ends in letters that its name lacks, a Google bill's
//! `resource.global_name` has numbers for project and instance where its audit log has names.

use std::borrow::Cow;

use serde_json::Value;

mod aws;
mod azure;
mod google;
mod kubernetes;

pub use aws::named;
pub(crate) use aws::short_type;
pub(crate) use azure::kinds as path_kinds;
pub(crate) use google::{exact, within_project};
pub use kubernetes::object;

/// The canonical id of what a stream calls `id`; text that is no such name stays as it is. Canonical ids
/// are their own canonical ids.
#[must_use]
pub fn canonical(id: &str) -> Cow<'_, str> {
    let id = id.trim();
    let canonical = if id.starts_with("arn:") {
        aws::of_arn(id)
    } else if azure::is_path(id) {
        azure::path(id)
    } else if let Some(arn) = aws::of_queue(id) {
        Cow::Owned(arn)
    } else {
        google::name(id)
    };
    match canonical {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_end()),
        Cow::Owned(text) if text.ends_with(char::is_whitespace) => {
            Cow::Owned(text.trim_end().to_owned())
        }
        owned => owned,
    }
}

/// Provider and type of a canonical id that says them: `("aws", "aws_instance")` of `i-0abc`. Types are
/// Terraform's, of Kubernetes resource and group (`deployments.apps`); where Terraform divides by what the
/// id does not say (Linux and Windows machines), the older type that stands for both.
#[must_use]
pub fn kind_of(id: &str) -> Option<(&'static str, Cow<'_, str>)> {
    let of = |provider, kind: Option<&'static str>| Some((provider, Cow::Borrowed(kind?)));
    if id.starts_with("arn:") {
        of("aws", aws::arn_type(id))
    } else if azure::is_path(id) {
        of("azure", azure::path_type(id))
    } else if id.starts_with("//") {
        of("gcp", google::name_type(id))
    } else if id.contains('/') {
        Some(("kubernetes", Cow::Borrowed(kubernetes::object_type(id)?)))
    } else {
        of("aws", short_type(id))
    }
}

/// The canonical id of a resource of a configuration ([`crate::schema::configuration`]): by its `arn` or
/// `self_link`, if its attributes have one and its id is no id of its own, else by its id.
#[must_use]
pub fn declared(provider: &str, resource_type: &str, id: &str, attributes: &Value) -> String {
    let text = |name: &str| attributes.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
    match provider {
        "kubernetes" => kubernetes::declared(resource_type, id),
        "aws" if short_type(id).is_none() && !aws::is_of_bucket(resource_type) => {
            canonical(text("arn").unwrap_or(id)).into_owned()
        }
        "gcp" | "google" => google::declared(resource_type, id, text("project"))
            .unwrap_or_else(|| canonical(id).into_owned()),
        _ => canonical(id).into_owned(),
    }
}

/// The resources that a canonical id's own lies in and that are billed or watched as a whole, outermost
/// first: of an Azure path, a database's server. None of most.
pub fn around(id: &str) -> impl Iterator<Item = &str> {
    azure::is_path(id).then(|| azure::around(id)).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_one_resource_meet() {
        let check = |names: &[&str], id: &str, kind: Option<(&str, &str)>| {
            for name in names.iter().chain([&id]) {
                assert_eq!(canonical(name), id, "{name}");
            }
            let found = kind_of(id);
            assert_eq!(found.as_ref().map(|(of, kind)| (*of, kind.as_ref())), kind, "{id}");
        };
        let aws = |kind| Some(("aws", kind));
        let ec2 = |kind: &str, id: &str| format!("arn:aws:ec2:eu-west-1:123456789012:{kind}/{id}");
        check(&[&ec2("instance", "i-0abc"), " i-0abc "], "i-0abc", aws("aws_instance"));
        check(&[&ec2("natgateway", "nat-0abc")], "nat-0abc", aws("aws_nat_gateway"));
        check(&[&ec2("volume", "vol-0abc")], "vol-0abc", aws("aws_ebs_volume"));
        check(&["arn:aws:ec2:us-east-1::snapshot/snap-1"], "snap-1", aws("aws_ebs_snapshot"));
        let file_system = "arn:aws:elasticfilesystem:eu-west-1:1:file-system/fs-01";
        check(&[file_system], "fs-01", aws("aws_efs_file_system"));
        check(&[], "arn:aws:ec2:eu-west-1:1:key-pair/i-love-keys", aws("aws_key_pair"));
        check(&["arn:aws:s3:::logs", "arn:aws:s3:::logs/2024/01.gz"], "logs", None);
        check(&["arn:aws-cn:s3:::a.b-c/k"], "a.b-c", None);
        check(&[], "i-photos", None);
        check(
            &[
                "arn:aws:lambda:eu-west-1:1:function:f:7",
                "arn:aws:lambda:eu-west-1:1:function:f:$LATEST",
            ],
            "arn:aws:lambda:eu-west-1:1:function:f",
            aws("aws_lambda_function"),
        );
        check(
            &[
                "arn:aws:iam::1:role/service-role/deploy",
                "arn:aws:sts::1:assumed-role/deploy/i-0abc",
            ],
            "arn:aws:iam::1:role/deploy",
            aws("aws_iam_role"),
        );
        check(
            &["https://sqs.eu-west-1.amazonaws.com/1/jobs"],
            "arn:aws:sqs:eu-west-1:1:jobs",
            aws("aws_sqs_queue"),
        );
        check(
            &["arn:aws:dynamodb:eu-west-1:1:table/t/index/by-day"],
            "arn:aws:dynamodb:eu-west-1:1:table/t",
            aws("aws_dynamodb_table"),
        );
        check(&[], "arn:aws:rds:eu-west-1:1:db:shop", aws("aws_db_instance"));
        check(
            &["arn:aws:elasticloadbalancing:eu-west-1:1:listener/app/web/50dc/ab12"],
            "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/web/50dc",
            aws("aws_lb"),
        );
        check(
            &["arn:aws:logs:eu-west-1:1:log-group:/aws/lambda/f:*"],
            "arn:aws:logs:eu-west-1:1:log-group:/aws/lambda/f",
            aws("aws_cloudwatch_log_group"),
        );
        check(
            &["arn:aws:autoscaling:eu-west-1:1:autoScalingGroup:6f-1:autoScalingGroupName/web"],
            "arn:aws:autoscaling:eu-west-1:1:autoScalingGroup:autoScalingGroupName/web",
            aws("aws_autoscaling_group"),
        );
        check(
            &[
                "/SUBSCRIPTIONS/S-1/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/VM1/",
            ],
            "/subscriptions/s-1/resourcegroups/g/providers/microsoft.compute/virtualmachines/vm1",
            Some(("azure", "azurerm_virtual_machine")),
        );
        check(
            &["/subscriptions/s-1/resourceGroups/G"],
            "/subscriptions/s-1/resourcegroups/g",
            Some(("azure", "azurerm_resource_group")),
        );
        check(
            &[
                "projects/p/zones/z/instances/n",
                "https://www.googleapis.com/compute/v1/projects/p/zones/z/instances/n",
                "https://compute.googleapis.com/compute/v1/projects/p/zones/z/instances/n",
                "//compute.googleapis.com/projects/p/zones/z/instances/n/SerialPort/1",
            ],
            "//compute.googleapis.com/projects/p/zones/z/instances/n",
            Some(("gcp", "google_compute_instance")),
        );
        check(
            &["projects/_/buckets/b/objects/a/b.txt"],
            "//storage.googleapis.com/projects/_/buckets/b",
            Some(("gcp", "google_storage_bucket")),
        );
        check(
            &["projects/p/zones/z/clusters/c"],
            "//container.googleapis.com/projects/p/locations/z/clusters/c",
            Some(("gcp", "google_container_cluster")),
        );
        check(
            &["projects/p/locations/eu/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"],
            "//cloudkms.googleapis.com/projects/p/locations/eu/keyRings/r/cryptoKeys/k",
            Some(("gcp", "google_kms_crypto_key")),
        );
        check(&[], "prod/shop/deployments.apps/web", Some(("kubernetes", "deployments.apps")));
        check(&[], "prod/nodes/n-1", Some(("kubernetes", "nodes")));
        for unknown in
            ["", "web-1", "a/b", "a/b/c/d/e", "arn:aws:made-up:::x", "projects/p/instances/i"]
        {
            check(&[], unknown, None);
        }
    }

    #[test]
    fn what_is_declared_meets_what_is_billed() {
        let check = |provider: &str, kind: &str, id: &str, attributes: Value, want: &str| {
            assert_eq!(declared(provider, kind, id, &attributes), want, "{id}");
        };
        let arn = "arn:aws:rds:eu-west-1:1:db:shop";
        check("aws", "aws_db_instance", "shop", json!({"arn": arn}), arn);
        check("aws", "aws_db_instance", "shop", json!({}), "shop");
        let instance = json!({"arn": "arn:aws:ec2:eu-west-1:1:instance/i-0abc"});
        check("aws", "aws_instance", "i-0abc", instance, "i-0abc");
        check("aws", "aws_s3_bucket", "b", json!({"arn": "arn:aws:s3:::b"}), "b");
        check(
            "aws",
            "aws_iam_role",
            "r",
            json!({"arn": "arn:aws:iam::1:role/p/r"}),
            "arn:aws:iam::1:role/r",
        );
        check(
            "kubernetes",
            "deployments.apps",
            "prod/shop/web",
            json!({}),
            "prod/shop/deployments.apps/web",
        );
        check("kubernetes", "nodes", "prod/n-1", json!({}), "prod/nodes/n-1");
        let bucket = "//storage.googleapis.com/projects/_/buckets/b";
        check("google", "google_storage_bucket", "b", json!({"project": "p"}), bucket);
        let database = "//cloudsql.googleapis.com/projects/p/instances/db";
        check("google", "google_sql_database_instance", "db", json!({"project": "p"}), database);
        let disk = "//compute.googleapis.com/projects/p/zones/z/disks/d";
        check("google", "google_compute_disk", "projects/p/zones/z/disks/d", json!({}), disk);
    }

    #[test]
    fn a_path_lies_within_others() {
        let check = |id: &str, want: &[&str]| {
            assert_eq!(around(id).collect::<Vec<_>>(), want, "{id}");
        };
        let server = "/subscriptions/s/resourcegroups/g/providers/microsoft.sql/servers/s1";
        check(&format!("{server}/databases/d1"), &[server]);
        let account =
            "/subscriptions/s/resourcegroups/g/providers/microsoft.storage/storageaccounts/a";
        check(&format!("{account}/blobservices/default/containers/c"), &[account]);
        let settings = "providers/microsoft.insights/diagnosticsettings/x";
        check(&format!("{account}/{settings}"), &[account]);
        check(server, &[]);
        check("i-0abc", &[]);
    }

    /// Texts of the parts that ids are made of, put together in any way.
    fn ids() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "arn:",
            "aws",
            ":",
            "/",
            "s3",
            "ec2",
            "iam",
            "sts",
            "lambda",
            "rds",
            "logs",
            "::",
            "function",
            "role",
            "assumed-role",
            "log-group",
            "autoScalingGroup",
            "autoScalingGroupName/",
            "table/",
            "dynamodb",
            "autoscaling",
            "i-0abc",
            "vol-1",
            "instance/",
            "x",
            "X",
            " ",
            "1",
            "*",
            "/subscriptions/",
            "/providers/",
            "resourceGroups",
            "//compute.googleapis.com/",
            "projects/",
            "zones/",
            "instances/",
            "clusters/",
            "buckets/",
            "objects/",
            "global/",
            "https://",
            "www.googleapis.com",
            "sqs.",
            "eu-west-1",
            ".amazonaws.com",
            "é",
            "listener/app/",
            "elasticloadbalancing",
            "arn:aws:s3:::",
            "arn:aws:iam::1:role/",
            "arn:aws:sts::1:assumed-role/",
            "arn:aws:lambda:r:1:function:",
            "https://sqs.r.amazonaws.com/",
            "locations/",
            "keyRings/",
            "arn:aws:logs:r:1:log-group:",
            "arn:aws:autoscaling:r:1:autoScalingGroup:",
        ]);
        prop::collection::vec(part, 0..9).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn canonical_ids_are_their_own(id in ids()) {
            let once = canonical(&id).into_owned();
            prop_assert_eq!(canonical(&once), once.as_str());
            prop_assert!(around(&once).all(|outer| once.starts_with(outer)));
            prop_assert!(kind_of(&once).is_none_or(|(of, kind)| !of.is_empty() && !kind.is_empty()));
        }

        #[test]
        fn any_text_is_some_id(id in any::<String>()) {
            let once = canonical(&id).into_owned();
            prop_assert_eq!(canonical(&once), once.as_str());
        }
    }
}
