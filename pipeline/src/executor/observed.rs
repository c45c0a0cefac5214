//! What a look at a resource finds: its state, and all that would be needed to make it again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::operation::Operation;

/// A resource as it was found.
///
/// A caller writes it down with the intent to act, as [`Step::before`](super::Step): after a crash it
/// is the only thing that still says what the resource was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// The state in this module's words.
    pub state: State,
    /// The state in the provider's words.
    pub said: String,
    /// Type and size.
    #[serde(default)]
    pub size: Size,
    /// The availability zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// When it was launched or made, µs since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_us: Option<i64>,
    /// What forbids some operations.
    #[serde(default)]
    pub protections: Vec<Protection>,
    /// An instance's volumes; a volume's instances.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// What it was copied from, of a snapshot or an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What else would be needed to make it again.
    #[serde(default)]
    pub build: Build,
}

impl Observed {
    /// A resource of which nothing but its state is known.
    #[must_use]
    pub fn new(state: State, said: &str) -> Self {
        Self {
            state,
            said: said.to_owned(),
            size: Size::default(),
            zone: None,
            tags: BTreeMap::new(),
            made_us: None,
            protections: Vec::new(),
            attachments: Vec::new(),
            source: None,
            build: Build::default(),
        }
    }

    /// The protection that forbids an operation.
    #[must_use]
    pub fn forbidding(&self, operation: &Operation) -> Option<&Protection> {
        self.protections.iter().find(|protection| protection.forbids(operation))
    }
}

/// The states that decide what can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It runs.
    Running,
    /// It is stopped and can be started.
    Stopped,
    /// A volume that is attached.
    InUse,
    /// A volume that is not attached, or a copy that is complete.
    Ready,
    /// On the way from one state to another.
    Changing,
    /// On the way to be no more.
    Ending,
    /// It has failed, or the provider says something that this module has no word for.
    Other,
}

/// Type and size; what is `None` the resource does not have or, in a resize, keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Size {
    /// The provider's name: an instance type, a volume type, a database class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Storage, GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_gib: Option<i32>,
    /// Operations a second that are paid for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iops: Option<i32>,
    /// Throughput that is paid for, MiB/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput_mib: Option<i32>,
}

impl Size {
    /// A type with nothing said of storage.
    #[must_use]
    pub fn class(class: &str) -> Self {
        Self { class: Some(class.to_owned()), ..Self::default() }
    }

    /// Whether `other` has everything that this one says.
    #[must_use]
    pub fn holds_for(&self, other: &Self) -> bool {
        fn holds<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        holds(self.class.as_ref(), other.class.as_ref())
            && holds(self.storage_gib.as_ref(), other.storage_gib.as_ref())
            && holds(self.iops.as_ref(), other.iops.as_ref())
            && holds(self.throughput_mib.as_ref(), other.throughput_mib.as_ref())
    }
}

/// Something that forbids operations, whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// The provider's protection against termination or deletion is on.
    Ending,
    /// The provider's protection against stopping is on.
    Stopping,
    /// A group of this name manages it, and would undo what is done to it.
    Group(String),
}

impl Protection {
    /// Whether it forbids an operation.
    #[must_use]
    pub fn forbids(&self, operation: &Operation) -> bool {
        match self {
            Self::Ending => operation.is_ending(),
            Self::Stopping => matches!(operation, Operation::Stop),
            Self::Group(_) => !operation.is_harmless(),
        }
    }

    /// What is to be said of it.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Ending => "its protection against termination is on".to_owned(),
            Self::Stopping => "its protection against stopping is on".to_owned(),
            Self::Group(name) => format!("the group {name} manages it"),
        }
    }
}

/// One end of a volume's attachment, seen from the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// The volume of an instance, the instance of a volume.
    pub id: String,
    /// The device's name.
    pub device: String,
    /// Whether the volume ends with the instance.
    pub ends_with_instance: bool,
}

/// What is needed to make a resource again and has no field of its own. None of it is secret: user data
/// and passwords are never read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Build {
    /// An instance's subnet; a database's group of subnets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// Ids of security groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
    /// The name of an instance's key pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    /// The ARN of an instance's profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Whether an instance's metadata are only for who has a token: `required` or `optional`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_tokens: Option<String>,
    /// Whether a volume is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    /// The key it is encrypted with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_key: Option<String>,
    /// Whether a volume may be attached to several instances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_attach: Option<bool>,
    /// A database's type of storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<String>,
    /// A database's group of parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// A database's group of options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
    /// A database's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// Whether a database has a standby in another zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_zone: Option<bool>,
    /// Whether a database has a public address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// What tags are set by, where that is not the id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
}
