//! Snapshots and images: looked at, and deleted once nobody needs them.

use aws_sdk_ec2::types::{ImageState, SnapshotState};
use aws_sdk_rds::types::DbSnapshot;

use super::call::present;
use super::database::{micros as rds_micros, tag_map as rds_tag_map};
use super::session::{Session, micros, tag_map};
use crate::executor::error::Result;
use crate::executor::guard::SOURCE_TAG;
use crate::executor::observed::{Build, Observed, State};
use crate::executor::step::{Outcome, Step};

impl Session<'_> {
    pub(super) async fn look_at_snapshot(&self, id: &str) -> Result<Option<Observed>> {
        let what = format!("look at snapshot {id}");
        let call = || self.ec2.describe_snapshots().snapshot_ids(id).send();
        let answer = present(self.caller.call(&what, call).await)?;
        let snapshot = answer.as_ref().and_then(|answer| answer.snapshots().first());
        let Some(snapshot) = snapshot else { return Ok(None) };
        let state = match snapshot.state() {
            Some(SnapshotState::Completed) => State::Ready,
            Some(SnapshotState::Pending | SnapshotState::Recovering) => State::Changing,
            _ => State::Other,
        };
        let mut found = Observed::new(state, snapshot.state().map_or("", SnapshotState::as_str));
        found.size.storage_gib = snapshot.volume_size();
        found.tags = tag_map(snapshot.tags());
        found.made_us = micros(snapshot.start_time());
        found.source = snapshot.volume_id().map(str::to_owned);
        found.build = Build {
            encrypted: snapshot.encrypted(),
            encryption_key: snapshot.kms_key_id().map(str::to_owned),
            ..Build::default()
        };
        Ok(Some(found))
    }

    pub(super) async fn look_at_image(&self, id: &str) -> Result<Option<Observed>> {
        let what = format!("look at image {id}");
        let call = || self.ec2.describe_images().image_ids(id).send();
        let answer = present(self.caller.call(&what, call).await)?;
        let image = answer.as_ref().and_then(|answer| answer.images().first());
        let Some(image) = image else { return Ok(None) };
        let state = match image.state() {
            Some(ImageState::Available) => State::Ready,
            Some(ImageState::Pending | ImageState::Transient) => State::Changing,
            Some(ImageState::Deregistered) => return Ok(None),
            _ => State::Other,
        };
        let mut found = Observed::new(state, image.state().map_or("", ImageState::as_str));
        found.tags = tag_map(image.tags());
        // Our own images say it themselves, so that not only those are known that AWS remembers.
        let source = image.source_instance_id().map(str::to_owned);
        found.source = source.or_else(|| found.tags.get(SOURCE_TAG).cloned());
        Ok(Some(found))
    }

    pub(super) async fn look_at_database_snapshot(&self, id: &str) -> Result<Option<Observed>> {
        let snapshot = self.database_snapshot(id).await?;
        Ok(snapshot.as_ref().map(observed))
    }

    pub(super) async fn database_snapshot(&self, id: &str) -> Result<Option<DbSnapshot>> {
        let what = format!("look at database snapshot {id}");
        let call = || self.rds.describe_db_snapshots().db_snapshot_identifier(id).send();
        let answer = present(self.caller.call(&what, call).await)?;
        Ok(answer.and_then(|answer| answer.db_snapshots().first().cloned()))
    }

    pub(super) async fn delete_snapshot(&self, step: &Step) -> Result<Outcome> {
        let call = || self.ec2.delete_snapshot().snapshot_id(&step.resource.id).send();
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }

    /// The image's snapshots stay, and are deleted in steps of their own.
    pub(super) async fn deregister_image(&self, step: &Step) -> Result<Outcome> {
        let call = || self.ec2.deregister_image().image_id(&step.resource.id).send();
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }

    pub(super) async fn delete_database_snapshot(&self, step: &Step) -> Result<Outcome> {
        let id = &step.resource.id;
        let call = || self.rds.delete_db_snapshot().db_snapshot_identifier(id).send();
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }
}

fn observed(snapshot: &DbSnapshot) -> Observed {
    let said = snapshot.status().unwrap_or_default();
    let state = match said {
        "available" => State::Ready,
        "creating" | "copying" | "modifying" => State::Changing,
        "deleting" => State::Ending,
        _ => State::Other,
    };
    let mut found = Observed::new(state, said);
    found.size.storage_gib = snapshot.allocated_storage();
    found.tags = rds_tag_map(snapshot.tag_list());
    found.made_us = rds_micros(snapshot.snapshot_create_time());
    found.source = snapshot.db_instance_identifier().map(str::to_owned);
    found.build = Build {
        encrypted: snapshot.encrypted(),
        encryption_key: snapshot.kms_key_id().map(str::to_owned),
        arn: snapshot.db_snapshot_arn().map(str::to_owned),
        ..Build::default()
    };
    found
}
