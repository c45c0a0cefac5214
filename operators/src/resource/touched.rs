//! Audit events as facts of resources: when each was used, changed, and last seen to by a person.
//!
//! What a day's events of a partition say of a resource is told as one fact, since most say little: an
//! object that is read a million times was read last at one instant. To what a resource was joined, and
//! that it was parted from it, is told event by event, in order.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use super::fact::{Cause, Deed, Fact, Identity, What, rows};
use super::touch::{self, Kind, Touch};
use crate::Result;
use crate::epoch::Partition;
use crate::schema::cost::{DAY_US, day_of};

/// What a day's events say of a resource.
#[derive(Debug)]
struct Together {
    cause: Cause,
    first: i64,
    last: i64,
    used: Option<i64>,
    changed: Option<Deed>,
    by_human: Option<Deed>,
}

/// Facts of a stream's partition's audit events ([`crate::schema::audit`]); none where they name no resource.
///
/// # Errors
/// [`crate::Error::Column`] when they are no audit events.
pub fn touched(
    source: &str,
    partition: Partition,
    events: &RecordBatch,
) -> Result<Option<RecordBatch>> {
    let seen = touch::touches(events)?;
    let cause = |offset: u64| Cause {
        source: source.to_owned(),
        partition: partition.0,
        from: offset,
        to: offset,
    };
    let mut together: BTreeMap<(i32, String, Identity), Together> = BTreeMap::new();
    let mut facts = Vec::new();
    for touch in &seen.touches {
        let identity = identity(touch);
        if touch.is_gone {
            facts.push(Fact {
                resource: touch.resource.clone(),
                at: touch.at_us,
                what: What::Gone,
                identity: identity.clone(),
                cause: cause(touch.offset),
            });
        }
        let key = (day_of(touch.at_us), touch.resource.clone(), identity);
        let cause = cause(touch.offset);
        let known = together.entry(key).or_insert_with(|| Together::new(touch, &cause));
        known.add(touch, &cause);
    }
    for edge in &seen.edges {
        let what = match edge.is_gone {
            true => What::Parted(edge.to.clone()),
            false => What::Joined(edge.to.clone()),
        };
        facts.push(Fact {
            resource: edge.from.clone(),
            at: edge.at_us,
            what,
            identity: Identity::default(),
            cause: cause(edge.offset),
        });
    }
    facts.extend(together.into_iter().map(|((day, resource, identity), known)| Fact {
        resource,
        at: i64::from(day) * DAY_US,
        what: What::Touched {
            first: known.first,
            last: known.last,
            used: known.used,
            changed: known.changed,
            by_human: known.by_human,
        },
        identity,
        cause: known.cause,
    }));
    rows(&facts)
}

impl Together {
    fn new(touch: &Touch<'_>, cause: &Cause) -> Self {
        Self {
            cause: cause.clone(),
            first: touch.at_us,
            last: touch.at_us,
            used: None,
            changed: None,
            by_human: None,
        }
    }

    fn add(&mut self, touch: &Touch<'_>, cause: &Cause) {
        self.cause.merge(cause);
        self.first = self.first.min(touch.at_us);
        self.last = self.last.max(touch.at_us);
        let deed = || Deed {
            at: touch.at_us,
            principal: touch.principal.to_owned(),
            operation: touch.operation.to_owned(),
        };
        match touch.kind {
            Kind::Use if !touch.failed => self.used = self.used.max(Some(touch.at_us)),
            Kind::Change if !touch.failed => self.changed = self.changed.take().max(Some(deed())),
            _ => {}
        }
        // Who tries and fails cares for it, too.
        if touch.is_human {
            self.by_human = self.by_human.take().max(Some(deed()));
        }
    }
}

fn identity(touch: &Touch<'_>) -> Identity {
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Identity {
        provider: known(touch.provider),
        resource_type: touch.resource_type.as_ref().map(|kind| kind.clone().into_owned()),
        account: known(touch.account),
        region: known(touch.region),
        service: None,
    }
}
