//! What can be done to a resource, and what undoes it.
//!
//! An operation says what is to be so afterwards, not what has to be called: stopping what is stopped is
//! done already. Each needs one outside call that changes something, so that a crash falls before or after
//! it; what takes several is several steps ([`Operation::steps`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::observed::{Observed, Size, State};
use super::resource::Kind;

/// One thing done to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Stops an instance or a database. A stopped RDS instance is started by its provider after seven days.
    Stop,
    /// Starts an instance or a database.
    Start,
    /// Gives an instance, a volume or a database another type or size. An instance must be stopped.
    Resize {
        /// What it is to have; what this does not say it keeps.
        to: Size,
    },
    /// Copies a volume or a database.
    Snapshot,
    /// Copies an instance with all its volumes, so that another like it can be launched.
    Image {
        /// Whether a running instance is restarted for the copy. Without, what it had not yet written to
        /// its disks is not in it.
        reboot: bool,
    },
    /// Ends an instance for good, and the volumes that end with it.
    Terminate {
        /// The image to launch it from again.
        backup: Backup,
    },
    /// Deletes a volume, a database or a copy for good.
    Delete {
        /// The snapshot to make it from again.
        backup: Backup,
    },
    /// Takes a volume away from an instance.
    Detach {
        /// The instance.
        instance: String,
    },
    /// Gives a volume to an instance.
    Attach {
        /// The instance.
        instance: String,
        /// The name of the device.
        device: String,
    },
    /// Makes a deleted volume or database again.
    Restore {
        /// The snapshot.
        from: String,
        /// What it was like.
        like: Box<Observed>,
    },
    /// Launches a terminated instance again.
    Relaunch {
        /// The image.
        from: String,
        /// What it was like.
        like: Box<Observed>,
    },
    /// Sets and removes tags, in this order. One operation and not two, so that its inverse is one too.
    Tag {
        /// Tags to set.
        #[serde(default)]
        set: BTreeMap<String, String>,
        /// Keys of tags to remove.
        #[serde(default)]
        remove: BTreeSet<String>,
    },
}

/// The copy that must be there before something ends, or the words of whoever does without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Backup {
    /// The id of a snapshot or an image. It must be complete, and of this resource.
    Taken(String),
    /// There is none, for this reason.
    Waived(String),
}

/// What undoes a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// There is nothing to undo.
    Nothing,
    /// This operation on the resource, or on what has taken its place
    /// ([`Outcome::successor`](super::Outcome::successor)).
    By {
        /// The operation.
        operation: Operation,
        /// What it does not bring back.
        lost: &'static str,
    },
    /// Nothing undoes it.
    Irreversible {
        /// Why not.
        why: &'static str,
    },
}

impl Undo {
    fn by(operation: Operation) -> Self {
        Self::By { operation, lost: "" }
    }
}

impl Operation {
    /// The verb for messages.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Resize { .. } => "resize",
            Self::Snapshot => "snapshot",
            Self::Image { .. } => "image",
            Self::Terminate { .. } => "terminate",
            Self::Delete { .. } => "delete",
            Self::Detach { .. } => "detach",
            Self::Attach { .. } => "attach",
            Self::Restore { .. } => "restore",
            Self::Relaunch { .. } => "relaunch",
            Self::Tag { .. } => "tag",
        }
    }

    /// Whether the resource is gone afterwards.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        matches!(self, Self::Terminate { .. } | Self::Delete { .. })
    }

    /// Whether nobody who uses the resource can notice.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Tag { .. } | Self::Snapshot | Self::Image { reboot: false })
    }

    /// Whether such a thing can be done to a resource of a kind.
    #[must_use]
    pub fn applies_to(&self, kind: Kind) -> bool {
        use Kind::{Database, DatabaseSnapshot, Image, Instance, Snapshot, Volume};
        if kind == Kind::Other {
            return true;
        }
        match self {
            Self::Stop | Self::Start => matches!(kind, Instance | Database),
            Self::Resize { .. } => matches!(kind, Instance | Volume | Database),
            Self::Snapshot | Self::Restore { .. } => matches!(kind, Volume | Database),
            Self::Image { .. } | Self::Terminate { .. } | Self::Relaunch { .. } => kind == Instance,
            Self::Delete { .. } => {
                matches!(kind, Volume | Database | Snapshot | Image | DatabaseSnapshot)
            }
            Self::Detach { .. } | Self::Attach { .. } => kind == Volume,
            Self::Tag { .. } => true,
        }
    }

    /// The operations, in order, that come to this one for a resource as it was found. A running instance
    /// is stopped to be resized, and started again.
    #[must_use]
    pub fn steps(self, kind: Kind, found: &Observed) -> Vec<Self> {
        match self {
            Self::Resize { .. } if kind == Kind::Instance && found.state == State::Running => {
                vec![Self::Stop, self, Self::Start]
            }
            other => vec![other],
        }
    }

    /// What undoes this operation, done to a resource that was as in `before`. It brings back what was
    /// before: where that was so already, there is nothing to undo.
    #[must_use]
    pub fn undo(&self, kind: Kind, before: Option<&Observed>) -> Undo {
        let Some(before) = before else {
            return Undo::Irreversible { why: "what it was like before is not known" };
        };
        match self {
            Self::Stop if before.state == State::Stopped => Undo::Nothing,
            Self::Start if before.state == State::Running => Undo::Nothing,
            Self::Stop => Undo::by(Self::Start),
            Self::Start => Undo::by(Self::Stop),
            Self::Resize { to } => undo_resize(kind, to, &before.size),
            // The copy stays, and may be deleted in a step of its own.
            Self::Snapshot | Self::Image { .. } => Undo::Nothing,
            Self::Terminate { backup } => match backup {
                Backup::Taken(image) => Undo::By {
                    operation: Self::Relaunch {
                        from: image.clone(),
                        like: Box::new(before.clone()),
                    },
                    lost: "its id, its addresses, what was in memory, user data, its places in target \
                           groups, and the tags of its volumes, which are made from the image",
                },
                Backup::Waived(_) => Undo::Irreversible { why: "no image was taken before" },
            },
            Self::Delete { backup } => match backup {
                Backup::Taken(snapshot) => Undo::By {
                    operation: Self::Restore {
                        from: snapshot.clone(),
                        like: Box::new(before.clone()),
                    },
                    lost: match kind {
                        Kind::Volume => "its id",
                        _ => {
                            "what was written after the snapshot, automated backups, and settings that \
                             no snapshot holds, such as windows and monitoring"
                        }
                    },
                },
                Backup::Waived(_) => Undo::Irreversible { why: "no snapshot was taken before" },
            },
            Self::Detach { instance } => {
                let attachment = before.attachments.iter().find(|at| at.id == *instance);
                attachment.map_or(Undo::Nothing, |at| {
                    Undo::by(Self::Attach { instance: at.id.clone(), device: at.device.clone() })
                })
            }
            Self::Attach { instance, .. } => {
                let already = before.attachments.iter().any(|at| at.id == *instance);
                if already {
                    return Undo::Nothing;
                }
                Undo::by(Self::Detach { instance: instance.clone() })
            }
            // To end what an undo has made again would be a new decision, with a backup of its own.
            Self::Restore { .. } | Self::Relaunch { .. } => {
                Undo::Irreversible { why: "what was made again is ended by a step of its own" }
            }
            Self::Tag { set, remove } => undo_tag(set, remove, &before.tags),
        }
    }
}

fn undo_resize(kind: Kind, to: &Size, before: &Size) -> Undo {
    if to.holds_for(before) {
        return Undo::Nothing;
    }
    if to.storage_gib.is_some() && to.storage_gib != before.storage_gib {
        return Undo::Irreversible { why: "storage that has grown cannot shrink" };
    }
    // A volume that changes its type loses what it was given of these; elsewhere they stay as they are.
    let is_volume = kind == Kind::Volume;
    let changed = Size {
        class: to.class.as_ref().and(before.class.clone()),
        storage_gib: None,
        iops: before.iops.filter(|_| is_volume || to.iops.is_some()),
        throughput_mib: before.throughput_mib.filter(|_| is_volume || to.throughput_mib.is_some()),
    };
    Undo::by(Operation::Resize { to: changed })
}

fn undo_tag(
    set: &BTreeMap<String, String>,
    remove: &BTreeSet<String>,
    before: &BTreeMap<String, String>,
) -> Undo {
    let touched: BTreeSet<&String> = set.keys().chain(remove).collect();
    let mut back = BTreeMap::new();
    let mut gone = BTreeSet::new();
    for key in touched {
        match before.get(key) {
            Some(value) if set.get(key) == Some(value) && !remove.contains(key) => {}
            Some(value) => {
                back.insert(key.clone(), value.clone());
            }
            None if remove.contains(key) => {}
            None => {
                gone.insert(key.clone());
            }
        }
    }
    if back.is_empty() && gone.is_empty() {
        return Undo::Nothing;
    }
    Undo::by(Operation::Tag { set: back, remove: gone })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(state: State) -> Observed {
        let mut found = Observed::new(state, "");
        found.size = Size::class("m5.large");
        found.tags = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        found
    }

    fn tag(set: &[(&str, &str)], remove: &[&str]) -> Operation {
        Operation::Tag {
            set: set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            remove: remove.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    #[test]
    fn an_inverse_brings_back_what_was() {
        let check = |operation: &Operation, before: &Observed, expected: Undo| {
            let undo = operation.undo(Kind::Instance, Some(before));
            assert_eq!(undo, expected, "{operation:?}");
        };
        let (running, stopped) = (found(State::Running), found(State::Stopped));
        check(&Operation::Stop, &running, Undo::by(Operation::Start));
        check(&Operation::Stop, &stopped, Undo::Nothing);
        check(&Operation::Start, &stopped, Undo::by(Operation::Stop));
        check(&Operation::Start, &running, Undo::Nothing);
        let resize = |class| Operation::Resize { to: Size::class(class) };
        check(&resize("t3.small"), &stopped, Undo::by(resize("m5.large")));
        check(&resize("m5.large"), &stopped, Undo::Nothing);
        check(&tag(&[("mark", "1")], &[]), &running, Undo::by(tag(&[], &["mark"])));
        check(&tag(&[("team", "b")], &[]), &running, Undo::by(tag(&[("team", "a")], &[])));
        check(&tag(&[("team", "a")], &["mark"]), &running, Undo::Nothing);
        check(&tag(&[], &["team"]), &running, Undo::by(tag(&[("team", "a")], &[])));
    }

    #[test]
    fn what_cannot_be_undone_says_so() {
        let running = found(State::Running);
        let waived = || Backup::Waived("a test".to_owned());
        for operation in [
            Operation::Terminate { backup: waived() },
            Operation::Delete { backup: waived() },
            Operation::Resize { to: Size { storage_gib: Some(9), ..Size::default() } },
        ] {
            let undo = operation.undo(Kind::Volume, Some(&running));
            assert!(matches!(undo, Undo::Irreversible { .. }), "{operation:?}");
        }
        let undo = Operation::Stop.undo(Kind::Instance, None);
        assert!(matches!(undo, Undo::Irreversible { .. }), "{undo:?}");
        let image = Operation::Terminate { backup: Backup::Taken("ami-1".to_owned()) };
        let Undo::By { operation, lost } = image.undo(Kind::Instance, Some(&running)) else {
            panic!("an image undoes it");
        };
        assert!(matches!(operation, Operation::Relaunch { from, .. } if from == "ami-1"));
        assert!(lost.contains("its id"));
    }

    #[test]
    fn a_running_instance_is_stopped_to_be_resized() {
        let resize = Operation::Resize { to: Size::class("t3.small") };
        let steps = resize.clone().steps(Kind::Instance, &found(State::Running));
        assert_eq!(steps, [Operation::Stop, resize.clone(), Operation::Start]);
        assert_eq!(resize.clone().steps(Kind::Instance, &found(State::Stopped)).len(), 1);
        assert_eq!(resize.steps(Kind::Database, &found(State::Running)).len(), 1);
    }

    #[test]
    fn operations_survive_the_log() {
        let operation =
            Operation::Restore { from: "snap-1".to_owned(), like: Box::new(found(State::Ready)) };
        for operation in [Operation::Stop, operation, tag(&[("a", "b")], &["c"])] {
            let text = serde_json::to_string(&operation).unwrap();
            assert_eq!(serde_json::from_str::<Operation>(&text).unwrap(), operation, "{text}");
        }
    }
}
