//! EBS volumes: looked at, resized, copied, detached, attached, deleted and restored.

use aws_sdk_ec2::types::{
    Filter, ResourceType, Volume, VolumeAttachmentState, VolumeModification,
    VolumeModificationState, VolumeState, VolumeType,
};

use super::call::present;
use super::session::{
    Session, copy_tags, later, made_by, micros, tag_map, tagged, tags_again, unsupported,
    wrong_state,
};
use crate::executor::error::{Error, Result};
use crate::executor::observed::{Attachment, Build, Observed, Protection, Size, State};
use crate::executor::resource::Kind;
use crate::executor::step::{Outcome, Step};

/// Volumes whose operations a second are paid for; of the others AWS says how many they have, and takes
/// no number.
const WITH_IOPS: [&str; 3] = ["gp3", "io1", "io2"];

/// Volumes whose throughput is paid for.
const WITH_THROUGHPUT: [&str; 1] = ["gp3"];

impl Session<'_> {
    pub(super) async fn look_at_volume(&self, id: &str) -> Result<Option<Observed>> {
        let what = format!("look at volume {id}");
        let call = || self.ec2.describe_volumes().volume_ids(id).send();
        let answer = present(self.caller.call(&what, call).await)?;
        let volume = answer.as_ref().and_then(|answer| answer.volumes().first());
        Ok(volume.and_then(observed))
    }

    /// Of a size what AWS takes for a volume of its type.
    pub(super) fn settable(kind: Kind, size: &Size) -> Size {
        let mut size = size.clone();
        if let (Kind::Volume, Some(class)) = (kind, size.class.as_deref()) {
            size.iops = size.iops.filter(|_| WITH_IOPS.contains(&class));
            size.throughput_mib = size.throughput_mib.filter(|_| WITH_THROUGHPUT.contains(&class));
        }
        size
    }

    pub(super) async fn resize_volume(
        &self,
        step: &Step,
        found: &Observed,
        to: &Size,
    ) -> Result<Outcome> {
        let to = Self::settable(Kind::Volume, to);
        let id = &step.resource.id;
        if to.holds_for(&found.size) || self.volume_resizing(id, &to).await? {
            return Ok(Outcome::already());
        }
        if to.storage_gib < found.size.storage_gib && to.storage_gib.is_some() {
            return Err(Error::Unsupported(format!("{}: a volume cannot shrink", step.what())));
        }
        if !matches!(found.state, State::Ready | State::InUse) {
            return Err(later(step, found));
        }
        let call = || {
            self.ec2
                .modify_volume()
                .volume_id(id)
                .set_volume_type(to.class.as_deref().map(VolumeType::from))
                .set_size(to.storage_gib)
                .set_iops(to.iops)
                .set_throughput(to.throughput_mib)
                .send()
        };
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }

    /// Whether a change towards `to` has begun, and has not failed.
    pub(super) async fn volume_resizing(&self, id: &str, to: &Size) -> Result<bool> {
        let what = format!("look at volume {id}");
        let call = || self.ec2.describe_volumes_modifications().volume_ids(id).send();
        // AWS knows of no modification where there has never been one.
        let Some(answer) = present(self.caller.call(&what, call).await)? else { return Ok(false) };
        let latest = answer.volumes_modifications().iter();
        let latest = latest.max_by_key(|change| change.start_time().map(|at| at.as_nanos()));
        Ok(latest.is_some_and(|change| is_towards(change, to)))
    }

    pub(super) async fn snapshot_volume(&self, step: &Step, found: &Observed) -> Result<Outcome> {
        let what = step.what();
        let id = &step.resource.id;
        let of = Filter::builder().name("volume-id").values(id).build();
        let find = || {
            let request = self.ec2.describe_snapshots().owner_ids("self");
            request.filters(made_by(&step.token)).filters(of.clone()).send()
        };
        let made = self.caller.call(&what, find).await?;
        if let Some(id) = made.snapshots().iter().filter_map(|made| made.snapshot_id()).next() {
            return Ok(Outcome::already().with(step.resource.beside(Kind::Snapshot, id)));
        }
        if !matches!(found.state, State::Ready | State::InUse) {
            return Err(later(step, found));
        }
        let call = || {
            let request = self.ec2.create_snapshot().volume_id(id);
            request.tag_specifications(tagged(ResourceType::Snapshot, &copy_tags(step))).send()
        };
        let answer = self.caller.call(&what, call).await?;
        let id = answer.snapshot_id().ok_or_else(|| unsupported(step))?;
        Ok(Outcome::done().with(step.resource.beside(Kind::Snapshot, id)))
    }

    pub(super) async fn detach_volume(
        &self,
        step: &Step,
        found: &Observed,
        instance: &str,
    ) -> Result<Outcome> {
        if found.attachments.iter().all(|at| at.id != instance) {
            return Ok(Outcome::already());
        }
        let call = || {
            let request = self.ec2.detach_volume().volume_id(&step.resource.id);
            request.instance_id(instance).send()
        };
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }

    pub(super) async fn attach_volume(
        &self,
        step: &Step,
        found: &Observed,
        instance: &str,
        device: &str,
    ) -> Result<Outcome> {
        if let Some(attachment) = found.attachments.iter().find(|at| at.id == instance) {
            if attachment.device == device {
                return Ok(Outcome::already());
            }
            let why = format!("it is attached there as {}", attachment.device);
            return Err(wrong_state(step, found, &why));
        }
        let shared = found.build.multi_attach == Some(true);
        match found.state {
            State::Ready => {}
            State::InUse if shared => {}
            State::InUse if found.attachments.is_empty() => return Err(later(step, found)),
            State::InUse => return Err(wrong_state(step, found, "it is attached to another")),
            _ => return Err(later(step, found)),
        }
        let call = || {
            let request = self.ec2.attach_volume().volume_id(&step.resource.id);
            request.instance_id(instance).device(device).send()
        };
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }

    pub(super) async fn delete_volume(&self, step: &Step, found: &Observed) -> Result<Outcome> {
        match found.state {
            State::InUse if found.attachments.is_empty() => return Err(later(step, found)),
            State::InUse => return Err(wrong_state(step, found, "it has to be detached before")),
            State::Changing => return Err(later(step, found)),
            _ => {}
        }
        let call = || self.ec2.delete_volume().volume_id(&step.resource.id).send();
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }

    pub(super) async fn restore_volume(
        &self,
        step: &Step,
        found: Option<Observed>,
        from: &str,
        like: &Observed,
    ) -> Result<Outcome> {
        let what = step.what();
        let find = || self.ec2.describe_volumes().filters(made_by(&step.token)).send();
        let made = self.caller.call(&what, find).await?;
        if let Some(id) = made.volumes().iter().filter_map(|made| made.volume_id()).next() {
            return Ok(Outcome::already().with(step.resource.beside(Kind::Volume, id)));
        }
        Self::check_gone(step, found.as_ref())?;
        let size = Self::settable(Kind::Volume, &like.size);
        let tags = tagged(ResourceType::Volume, &tags_again(step, like));
        let encrypted = like.build.encrypted.filter(|encrypted| *encrypted);
        let key = like.build.encryption_key.clone().filter(|_| encrypted.is_some());
        let call = || {
            self.ec2
                .create_volume()
                .client_token(step.token.as_str())
                .snapshot_id(from)
                .set_availability_zone(like.zone.clone())
                .set_volume_type(size.class.as_deref().map(VolumeType::from))
                .set_size(size.storage_gib)
                .set_iops(size.iops)
                .set_throughput(size.throughput_mib)
                .set_encrypted(encrypted)
                .set_kms_key_id(key.clone())
                .set_multi_attach_enabled(like.build.multi_attach.filter(|shared| *shared))
                .tag_specifications(tags.clone())
                .send()
        };
        let answer = self.caller.call(&what, call).await?;
        let id = answer.volume_id().ok_or_else(|| unsupported(step))?;
        Ok(Outcome::done().with(step.resource.beside(Kind::Volume, id)))
    }
}

/// A volume as it was described; `None` where it is deleted.
fn observed(volume: &Volume) -> Option<Observed> {
    let state = match volume.state() {
        Some(VolumeState::Available) => State::Ready,
        Some(VolumeState::InUse) => State::InUse,
        Some(VolumeState::Creating) => State::Changing,
        Some(VolumeState::Deleting) => State::Ending,
        Some(VolumeState::Deleted) => return None,
        _ => State::Other,
    };
    let mut found = Observed::new(state, volume.state().map_or("", VolumeState::as_str));
    found.size = Size {
        class: volume.volume_type().map(|class| class.as_str().to_owned()),
        storage_gib: volume.size(),
        iops: volume.iops(),
        throughput_mib: volume.throughput(),
    };
    found.zone = volume.availability_zone().map(str::to_owned);
    found.tags = tag_map(volume.tags());
    found.made_us = micros(volume.create_time());
    let service = volume.operator().filter(|operator| operator.managed() == Some(true));
    let service = service.map(|operator| operator.principal().unwrap_or_default().to_owned());
    found.protections = service.map(Protection::Group).into_iter().collect();
    for attachment in volume.attachments() {
        let ended = [VolumeAttachmentState::Detaching, VolumeAttachmentState::Detached];
        if attachment.state().is_some_and(|state| ended.contains(state)) {
            continue;
        }
        found.attachments.push(Attachment {
            id: attachment.instance_id().unwrap_or_default().to_owned(),
            device: attachment.device().unwrap_or_default().to_owned(),
            ends_with_instance: attachment.delete_on_termination().unwrap_or_default(),
        });
    }
    found.build = Build {
        encrypted: volume.encrypted(),
        encryption_key: volume.kms_key_id().map(str::to_owned),
        multi_attach: volume.multi_attach_enabled(),
        ..Build::default()
    };
    Some(found)
}

fn is_towards(change: &VolumeModification, to: &Size) -> bool {
    let target = Size {
        class: change.target_volume_type().map(|class| class.as_str().to_owned()),
        storage_gib: change.target_size(),
        iops: change.target_iops(),
        throughput_mib: change.target_throughput(),
    };
    let on_its_way = [VolumeModificationState::Modifying, VolumeModificationState::Optimizing];
    let state = change.modification_state();
    state.is_some_and(|state| on_its_way.contains(state)) && to.holds_for(&target)
}
