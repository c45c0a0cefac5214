//! EC2 instances: looked at, stopped, started, resized, copied and terminated.

use aws_sdk_ec2::types::{
    AttributeValue, Instance, InstanceAttributeName, InstanceStateName, InstanceType, ResourceType,
};

use super::call::present;
use super::session::{
    Session, copy_tags, later, made_by, micros, name_of, tag_map, tagged, unsupported, wrong_state,
};
use crate::executor::error::{Error, Result, code};
use crate::executor::observed::{Attachment, Build, Observed, Protection, Size, State};
use crate::executor::resource::Kind;
use crate::executor::step::{Outcome, Step};

/// Tags by which AWS says that something keeps a number of instances at work: what is stopped or ended
/// there is replaced.
const GROUPS: [&str; 3] =
    ["aws:autoscaling:groupName", "aws:ec2:fleet-id", "aws:ec2spot:fleet-request-id"];

impl Session<'_> {
    pub(super) async fn look_at_instance(&self, id: &str) -> Result<Option<Observed>> {
        let what = format!("look at instance {id}");
        let call = || self.ec2.describe_instances().instance_ids(id).send();
        let Some(answer) = present(self.caller.call(&what, call).await)? else { return Ok(None) };
        let instance = answer.reservations().iter().flat_map(|at| at.instances()).next();
        let Some(instance) = instance else { return Ok(None) };
        let Some(mut found) = observed(instance) else { return Ok(None) };
        for (name, protection) in [
            (InstanceAttributeName::DisableApiTermination, Protection::Ending),
            (InstanceAttributeName::DisableApiStop, Protection::Stopping),
        ] {
            if self.is_protected(id, &what, &name).await? {
                found.protections.push(protection);
            }
        }
        Ok(Some(found))
    }

    async fn is_protected(
        &self,
        id: &str,
        what: &str,
        name: &InstanceAttributeName,
    ) -> Result<bool> {
        let call = || {
            self.ec2.describe_instance_attribute().instance_id(id).attribute(name.clone()).send()
        };
        // Whoever ended between the two calls needs no protection any more.
        let Some(answer) = present(self.caller.call(what, call).await)? else { return Ok(false) };
        let values = [answer.disable_api_termination(), answer.disable_api_stop()];
        Ok(values.into_iter().flatten().any(|value| value.value() == Some(true)))
    }

    pub(super) async fn stop_instance(&self, step: &Step, found: &Observed) -> Result<Outcome> {
        match (found.state, found.said.as_str()) {
            (State::Stopped, _) | (_, "stopping") => return Ok(Outcome::already()),
            (State::Running, _) => {}
            _ => return Err(later(step, found)),
        }
        let call = || self.ec2.stop_instances().instance_ids(&step.resource.id).send();
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }

    pub(super) async fn start_instance(&self, step: &Step, found: &Observed) -> Result<Outcome> {
        match (found.state, found.said.as_str()) {
            (State::Running, _) | (_, "pending") => return Ok(Outcome::already()),
            (State::Stopped, _) => {}
            _ => return Err(later(step, found)),
        }
        let call = || self.ec2.start_instances().instance_ids(&step.resource.id).send();
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }

    pub(super) async fn resize_instance(
        &self,
        step: &Step,
        found: &Observed,
        to: &Size,
    ) -> Result<Outcome> {
        let Some(class) = to.class.as_ref().filter(|class| *to == Size::class(class)) else {
            let message = format!("{}: an instance is resized by its type alone", step.what());
            return Err(Error::Unsupported(message));
        };
        if to.holds_for(&found.size) {
            return Ok(Outcome::already());
        }
        match found.state {
            State::Stopped => {}
            State::Changing => return Err(later(step, found)),
            _ => return Err(wrong_state(step, found, "it has to be stopped before")),
        }
        let call = || {
            let value = AttributeValue::builder().value(class).build();
            let request = self.ec2.modify_instance_attribute().instance_id(&step.resource.id);
            request.instance_type(value).send()
        };
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }

    pub(super) async fn image_instance(
        &self,
        step: &Step,
        found: &Observed,
        reboot: bool,
    ) -> Result<Outcome> {
        let what = step.what();
        let find =
            || self.ec2.describe_images().owners("self").filters(made_by(&step.token)).send();
        let made = self.caller.call(&what, find).await?;
        let mut ids = made.images().iter().filter_map(|image| image.image_id());
        if let Some(id) = ids.next() {
            return Ok(Outcome::already().with(step.resource.beside(Kind::Image, id)));
        }
        if !matches!(found.state, State::Running | State::Stopped) {
            return Err(later(step, found));
        }
        let call = || {
            self.ec2
                .create_image()
                .instance_id(&step.resource.id)
                .name(name_of(&step.token))
                .no_reboot(!reboot)
                .tag_specifications(tagged(ResourceType::Image, &copy_tags(step)))
                .send()
        };
        let answer = match self.caller.call(&what, call).await {
            // The name is ours: an earlier attempt's image is not shown yet.
            Err(Error::Refused { code, .. }) if code == "InvalidAMIName.Duplicate" => {
                return Err(later(step, &Observed::new(State::Changing, "being copied")));
            }
            answer => answer?,
        };
        let id = answer.image_id().ok_or_else(|| unsupported(step))?;
        Ok(Outcome::done().with(step.resource.beside(Kind::Image, id)))
    }

    pub(super) async fn terminate_instance(&self, step: &Step) -> Result<Outcome> {
        let call = || self.ec2.terminate_instances().instance_ids(&step.resource.id).send();
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }
}

/// An instance as it was described; `None` where it has ended: AWS goes on describing it for an hour.
fn observed(instance: &Instance) -> Option<Observed> {
    let name = instance.state().and_then(|state| state.name());
    let state = match name {
        Some(InstanceStateName::Terminated) => return None,
        Some(InstanceStateName::Running) => State::Running,
        Some(InstanceStateName::Stopped) => State::Stopped,
        Some(InstanceStateName::Pending | InstanceStateName::Stopping) => State::Changing,
        Some(InstanceStateName::ShuttingDown) => State::Ending,
        _ => State::Other,
    };
    let mut found = Observed::new(state, name.map_or("", InstanceStateName::as_str));
    found.size.class = instance.instance_type().map(|class| class.as_str().to_owned());
    found.zone = instance.placement().and_then(|at| at.availability_zone()).map(str::to_owned);
    found.tags = tag_map(instance.tags());
    found.made_us = micros(instance.launch_time());
    let group = GROUPS.iter().find_map(|key| found.tags.get(*key).cloned());
    let service = instance.operator().filter(|operator| operator.managed() == Some(true));
    let service = service.map(|operator| operator.principal().unwrap_or_default().to_owned());
    found.protections = group.or(service).map(Protection::Group).into_iter().collect();
    for mapping in instance.block_device_mappings() {
        let Some(disk) = mapping.ebs() else { continue };
        found.attachments.push(Attachment {
            id: disk.volume_id().unwrap_or_default().to_owned(),
            device: mapping.device_name().unwrap_or_default().to_owned(),
            ends_with_instance: disk.delete_on_termination().unwrap_or_default(),
        });
    }
    let groups = instance.security_groups().iter();
    let profile = instance.iam_instance_profile().and_then(|profile| profile.arn());
    let metadata = instance.metadata_options().and_then(|options| options.http_tokens());
    found.build = Build {
        subnet: instance.subnet_id().map(str::to_owned),
        security_groups: groups.filter_map(|group| group.group_id().map(str::to_owned)).collect(),
        key_name: instance.key_name().map(str::to_owned),
        profile: profile.map(str::to_owned),
        metadata_tokens: metadata.map(|tokens| tokens.as_str().to_owned()),
        ..Build::default()
    };
    Some(found)
}

/// The type to launch with.
pub(super) fn class_of(step: &Step, like: &Observed) -> Result<InstanceType> {
    let class = like.size.class.as_deref().ok_or_else(|| {
        Error::refused(step.what(), code::NO_BACKUP, "what type it was is not known")
    })?;
    Ok(InstanceType::from(class))
}
