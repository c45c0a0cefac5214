//! What a step acts on, and how its canonical id is read.
//!
//! A canonical id is what bills and inventories call a resource: `i-…`, `vol-…`, `snap-…` and `ami-…`
//! of EC2, alone or as the end of an ARN, and ARNs of RDS. Everything else belongs to another provider's
//! executor and is named by [`Resource::foreign`].

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};

/// The name of Amazon's cloud in [`Resource::provider`].
pub const AWS: &str = "aws";

/// What kind of thing a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A virtual machine: an EC2 instance.
    Instance,
    /// A disk: an EBS volume.
    Volume,
    /// A copy of a disk: an EBS snapshot.
    Snapshot,
    /// What instances are launched from: an AMI.
    Image,
    /// A database server: an RDS instance.
    Database,
    /// A copy of a database server: an RDS snapshot.
    DatabaseSnapshot,
    /// Anything else; webhooks and commands may know what to do with it.
    Other,
}

impl Kind {
    /// The noun for messages.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Volume => "volume",
            Self::Snapshot => "snapshot",
            Self::Image => "image",
            Self::Database => "database",
            Self::DatabaseSnapshot => "database snapshot",
            Self::Other => "resource",
        }
    }
}

/// One resource of one provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Whose it is: `aws`, or what the caller calls another provider.
    pub provider: String,
    /// The account, where the id says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The region, where the id says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// Its name within provider, account and region: `i-0a…`, or a database's name.
    pub id: String,
}

impl Resource {
    /// A resource of Amazon's from its canonical id.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with what is supported.
    pub fn parse(canonical: &str) -> Result<Self> {
        let unsupported = || {
            Error::Unsupported(format!(
                "{canonical:?} is no resource that can be acted on: an id i-…, vol-…, snap-… or ami-…, \
                 alone or as the end of an EC2 ARN, or the ARN of an RDS instance or snapshot"
            ))
        };
        let Some(arn) = canonical.strip_prefix("arn:") else {
            let kind = ec2_kind(canonical).ok_or_else(unsupported)?;
            return Ok(Self::aws(kind, canonical));
        };
        // partition:service:region:account:resource, where RDS puts a type and a colon before the name.
        let mut parts = arn.splitn(5, ':');
        let mut part = || parts.next().ok_or_else(unsupported);
        let (partition, service) = (part()?, part()?);
        let (region, account, rest) = (part()?, part()?, part()?);
        if !partition.starts_with(AWS) {
            return Err(unsupported());
        }
        let (kind, id) = match service {
            "ec2" => {
                let id = rest.rsplit('/').next().unwrap_or(rest);
                (ec2_kind(id).ok_or_else(unsupported)?, id)
            }
            "rds" => match rest.split_once(':').ok_or_else(unsupported)? {
                ("db", id) if is_name(id) => (Kind::Database, id),
                ("snapshot", id) if is_name(id) => (Kind::DatabaseSnapshot, id),
                _ => return Err(unsupported()),
            },
            _ => return Err(unsupported()),
        };
        let said = |part: &str| Some(part.to_owned()).filter(|part| !part.is_empty());
        Ok(Self { account: said(account), region: said(region), ..Self::aws(kind, id) })
    }

    /// A resource of another provider, which only webhooks and commands can act on.
    #[must_use]
    pub fn foreign(provider: &str, id: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            account: None,
            region: None,
            kind: Kind::Other,
            id: id.to_owned(),
        }
    }

    /// Another resource in the same account and region.
    #[must_use]
    pub fn beside(&self, kind: Kind, id: &str) -> Self {
        Self { kind, id: id.to_owned(), ..self.clone() }
    }

    fn aws(kind: Kind, id: &str) -> Self {
        Self { kind, ..Self::foreign(AWS, id) }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.noun(), self.id)?;
        self.region.iter().try_for_each(|region| write!(f, " in {region}"))
    }
}

fn ec2_kind(id: &str) -> Option<Kind> {
    let (prefix, digits) = id.split_once('-')?;
    let digits_are_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let kind = match prefix {
        "i" => Kind::Instance,
        "vol" => Kind::Volume,
        "snap" => Kind::Snapshot,
        "ami" => Kind::Image,
        _ => return None,
    };
    digits_are_hex.then_some(kind)
}

/// Names of automated snapshots have a colon: `rds:name-2026-01-01`.
fn is_name(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b':';
    !id.is_empty() && id.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_ids_are_read() {
        let check = |canonical: &str, kind: Kind, id: &str, region: Option<&str>| {
            let resource = Resource::parse(canonical).unwrap();
            assert_eq!((resource.kind, resource.id.as_str()), (kind, id), "{canonical}");
            assert_eq!(resource.region.as_deref(), region, "{canonical}");
            assert_eq!(resource.account.is_some(), region.is_some(), "{canonical}");
        };
        let east = Some("us-east-1");
        check("i-0123456789abcdef0", Kind::Instance, "i-0123456789abcdef0", None);
        check("vol-0a", Kind::Volume, "vol-0a", None);
        check("snap-0a", Kind::Snapshot, "snap-0a", None);
        check("ami-0a", Kind::Image, "ami-0a", None);
        let ec2 = "arn:aws:ec2:us-east-1:123456789012";
        check(&format!("{ec2}:instance/i-0a"), Kind::Instance, "i-0a", east);
        check(&format!("{ec2}:volume/vol-0a"), Kind::Volume, "vol-0a", east);
        let rds = "arn:aws-cn:rds:us-east-1:123456789012";
        check(&format!("{rds}:db:orders-1"), Kind::Database, "orders-1", east);
        let kept = "rds:orders-2026-01-01";
        check(&format!("{rds}:snapshot:{kept}"), Kind::DatabaseSnapshot, kept, east);
    }

    #[test]
    fn what_cannot_be_acted_on_is_named() {
        let cases = [
            "",
            "i-",
            "i-xyz",
            "eni-0a",
            "arn:aws:s3:::bucket",
            "arn:aws:rds:us-east-1:1:cluster:a",
            "arn:aws:rds:us-east-1:1:db:",
            "arn:aws:rds:us-east-1:1:db:a b",
            "arn:aws:ec2:us-east-1:1",
            "arn:gcp:ec2:r:1:instance/i-0a",
            "/subscriptions/1/resourceGroups/a",
        ];
        for case in cases {
            let error = Resource::parse(case).unwrap_err();
            assert!(matches!(error, Error::Unsupported(_)), "{case}: {error}");
            assert!(error.to_string().contains("i-…"), "{error}");
        }
    }
}
