//! The clients of one region, and which file does what.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ec2::primitives::DateTime;
use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};

use super::call::{Caller, is_absence};
use crate::executor::error::{Error, Result, code};
use crate::executor::guard::{Guard, SOURCE_TAG, TOKEN_TAG};
use crate::executor::observed::{Observed, State};
use crate::executor::operation::{Backup, Operation};
use crate::executor::resource::{Kind, Resource};
use crate::executor::step::{Outcome, Step, Token};

/// How long to wait for something that is on its way to another state.
const CHANGING: Duration = Duration::from_secs(15);

/// One region's clients.
pub(super) struct Session<'a> {
    pub(super) ec2: aws_sdk_ec2::Client,
    pub(super) rds: aws_sdk_rds::Client,
    pub(super) caller: Caller,
    pub(super) guard: &'a Guard,
}

impl Session<'_> {
    pub(super) async fn look(&self, resource: &Resource) -> Result<Option<Observed>> {
        match resource.kind {
            Kind::Instance => self.look_at_instance(&resource.id).await,
            Kind::Volume => self.look_at_volume(&resource.id).await,
            Kind::Snapshot => self.look_at_snapshot(&resource.id).await,
            Kind::Image => self.look_at_image(&resource.id).await,
            Kind::Database => self.look_at_database(&resource.id).await,
            Kind::DatabaseSnapshot => self.look_at_database_snapshot(&resource.id).await,
            Kind::Other => Err(Error::Unsupported(format!("aws: {resource}"))),
        }
    }

    pub(super) async fn perform(&self, step: &Step) -> Result<Outcome> {
        // What needs no look is refused without one.
        self.guard.check(step, None)?;
        let found = self.look(&step.resource).await?;
        self.guard.check(step, found.as_ref())?;
        let makes =
            matches!(step.operation, Operation::Restore { .. } | Operation::Relaunch { .. });
        match found {
            Some(found) if makes => self.make_again(step, Some(found)).await,
            None if makes => self.make_again(step, None).await,
            Some(found) if step.operation.is_ending() => self.end(step, &found).await,
            Some(found) => self.change(step, &found).await,
            None if step.operation.is_ending() && step.before.is_some() => Ok(Outcome::already()),
            None => Err(Error::refused(step.what(), code::NOT_FOUND, "there is no such thing")),
        }
    }

    async fn change(&self, step: &Step, found: &Observed) -> Result<Outcome> {
        let kind = step.resource.kind;
        if found.state == State::Ending {
            return Err(wrong_state(step, found, "it is being ended"));
        }
        match (&step.operation, kind) {
            (Operation::Tag { set, remove }, _) => self.tag(step, found, set, remove).await,
            (Operation::Stop, Kind::Instance) => self.stop_instance(step, found).await,
            (Operation::Start, Kind::Instance) => self.start_instance(step, found).await,
            (Operation::Resize { to }, Kind::Instance) => {
                self.resize_instance(step, found, to).await
            }
            (Operation::Image { reboot }, _) => self.image_instance(step, found, *reboot).await,
            (Operation::Resize { to }, Kind::Volume) => self.resize_volume(step, found, to).await,
            (Operation::Snapshot, Kind::Volume) => self.snapshot_volume(step, found).await,
            (Operation::Detach { instance }, _) => self.detach_volume(step, found, instance).await,
            (Operation::Attach { instance, device }, _) => {
                self.attach_volume(step, found, instance, device).await
            }
            (Operation::Stop, Kind::Database) => self.stop_database(step, found).await,
            (Operation::Start, Kind::Database) => self.start_database(step, found).await,
            (Operation::Resize { to }, Kind::Database) => {
                self.resize_database(step, found, to).await
            }
            (Operation::Snapshot, Kind::Database) => self.snapshot_database(step, found).await,
            _ => Err(unsupported(step)),
        }
    }

    async fn end(&self, step: &Step, found: &Observed) -> Result<Outcome> {
        if found.state == State::Ending {
            return Ok(Outcome::already());
        }
        let (Operation::Terminate { backup } | Operation::Delete { backup }) = &step.operation
        else {
            return Err(unsupported(step));
        };
        self.check_backup(step, backup).await?;
        let ended = match step.resource.kind {
            Kind::Instance => self.terminate_instance(step).await,
            Kind::Volume => self.delete_volume(step, found).await,
            Kind::Snapshot => self.delete_snapshot(step).await,
            Kind::Image => self.deregister_image(step).await,
            Kind::Database => self.delete_database(step, found).await,
            Kind::DatabaseSnapshot => self.delete_database_snapshot(step).await,
            Kind::Other => Err(unsupported(step)),
        };
        match ended {
            // It was there a moment ago: somebody else was faster, or an earlier attempt took its time.
            Err(error) if is_absence(&error) => Ok(Outcome::already()),
            other => other,
        }
    }

    async fn make_again(&self, step: &Step, found: Option<Observed>) -> Result<Outcome> {
        match (&step.operation, step.resource.kind) {
            (Operation::Relaunch { from, like }, Kind::Instance) => {
                self.relaunch(step, found, from, like).await
            }
            (Operation::Restore { from, like }, Kind::Volume) => {
                self.restore_volume(step, found, from, like).await
            }
            (Operation::Restore { from, like }, Kind::Database) => {
                self.restore_database(step, found, from, like).await
            }
            _ => Err(unsupported(step)),
        }
    }

    /// Before anything ends: the copy is there, complete, and of this resource.
    async fn check_backup(&self, step: &Step, backup: &Backup) -> Result<()> {
        let copy = match step.resource.kind {
            Kind::Instance => Kind::Image,
            Kind::Volume => Kind::Snapshot,
            Kind::Database => Kind::DatabaseSnapshot,
            kind => match backup {
                Backup::Waived(_) => return Ok(()),
                Backup::Taken(_) => {
                    let message = format!("of a {} no copy can be made", kind.noun());
                    return Err(Error::Unsupported(message));
                }
            },
        };
        let Backup::Taken(id) = backup else { return Ok(()) };
        let refuse = |message: String| Err(Error::refused(step.what(), code::NO_BACKUP, message));
        let copy = step.resource.beside(copy, id);
        let Some(found) = self.look(&copy).await? else {
            return refuse(format!("there is no {copy}"));
        };
        if found.source.as_deref() != Some(&step.resource.id) {
            return refuse(format!("{copy} is of {}", found.source.unwrap_or_default()));
        }
        match found.state {
            State::Ready => Ok(()),
            State::Changing => {
                let message = format!("{copy} is not complete: {}", found.said);
                Err(Error::retry(step.what(), CHANGING, message))
            }
            _ => refuse(format!("{copy} is {}", found.said)),
        }
    }

    /// An instance or a volume is only made again once it is gone: otherwise there would be two.
    pub(super) fn check_gone(step: &Step, found: Option<&Observed>) -> Result<()> {
        match found {
            Some(found) if found.state != State::Ending => {
                Err(wrong_state(step, found, "it is still there"))
            }
            _ => Ok(()),
        }
    }
}

/// Something else has to end first.
pub(super) fn later(step: &Step, found: &Observed) -> Error {
    Error::retry(step.what(), CHANGING, format!("it is {}", found.said))
}

/// It cannot be done to something in such a state.
pub(super) fn wrong_state(step: &Step, found: &Observed, why: &str) -> Error {
    let message = format!("it is {}: {why}", found.said);
    Error::refused(step.what(), code::WRONG_STATE, message)
}

/// AWS has no such call.
pub(super) fn unsupported(step: &Step) -> Error {
    Error::Unsupported(step.what())
}

/// The name of what a step makes, where names are unique: the call that makes it cannot succeed twice.
pub(super) fn name_of(token: &Token) -> String {
    format!("cloudops-{token}")
}

/// The tags of a copy.
pub(super) fn copy_tags(step: &Step) -> BTreeMap<String, String> {
    BTreeMap::from([
        (TOKEN_TAG.to_owned(), step.token.to_string()),
        (SOURCE_TAG.to_owned(), step.resource.id.clone()),
    ])
}

/// The tags of what is made again: its own, but for those that only AWS may set, and the step's token.
pub(super) fn tags_again(step: &Step, like: &Observed) -> BTreeMap<String, String> {
    let own = like.tags.iter().filter(|(key, _)| !key.starts_with("aws:"));
    let mut tags: BTreeMap<_, _> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    tags.insert(TOKEN_TAG.to_owned(), step.token.to_string());
    tags
}

pub(super) fn tag_list(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

pub(super) fn tagged(kind: ResourceType, tags: &BTreeMap<String, String>) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).set_tags(Some(tag_list(tags))).build()
}

pub(super) fn tag_map(tags: &[Tag]) -> BTreeMap<String, String> {
    let pair = |tag: &Tag| {
        (tag.key().unwrap_or_default().to_owned(), tag.value().unwrap_or_default().to_owned())
    };
    tags.iter().map(pair).collect()
}

/// Finds what a step has made.
pub(super) fn made_by(token: &Token) -> Filter {
    Filter::builder().name(format!("tag:{TOKEN_TAG}")).values(token.as_str()).build()
}

pub(super) fn micros(time: Option<&DateTime>) -> Option<i64> {
    i64::try_from(time?.as_nanos() / 1000).ok()
}
