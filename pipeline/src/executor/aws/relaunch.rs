//! EC2 instances launched again from an image that was taken before they ended.

use aws_sdk_ec2::types::{
    HttpTokensState, IamInstanceProfileSpecification, InstanceMetadataOptionsRequest, Placement,
    ResourceType,
};

use super::instance::class_of;
use super::session::{Session, made_by, tagged, tags_again, unsupported};
use crate::executor::error::Result;
use crate::executor::observed::Observed;
use crate::executor::resource::Kind;
use crate::executor::step::{Outcome, Step};

impl Session<'_> {
    pub(super) async fn relaunch(
        &self,
        step: &Step,
        found: Option<Observed>,
        from: &str,
        like: &Observed,
    ) -> Result<Outcome> {
        let what = step.what();
        // One that has ended since counts too: it was launched once, as it was to be.
        let find = || self.ec2.describe_instances().filters(made_by(&step.token)).send();
        let made = self.caller.call(&what, find).await?;
        let made = made.reservations().iter().flat_map(|at| at.instances());
        if let Some(id) = made.filter_map(|instance| instance.instance_id()).next() {
            return Ok(Outcome::already().with(step.resource.beside(Kind::Instance, id)));
        }
        Self::check_gone(step, found.as_ref())?;
        let class = class_of(step, like)?;
        let build = &like.build;
        let tags = tagged(ResourceType::Instance, &tags_again(step, like));
        let profile = build.profile.as_ref();
        let profile =
            profile.map(|arn| IamInstanceProfileSpecification::builder().arn(arn).build());
        let metadata = build.metadata_tokens.as_deref().map(HttpTokensState::from);
        let metadata = metadata
            .map(|tokens| InstanceMetadataOptionsRequest::builder().http_tokens(tokens).build());
        // A subnet says the zone.
        let zone = like.zone.as_ref().filter(|_| build.subnet.is_none());
        let zone = zone.map(|zone| Placement::builder().availability_zone(zone).build());
        let groups = Some(build.security_groups.clone()).filter(|groups| !groups.is_empty());
        let call = || {
            self.ec2
                .run_instances()
                .client_token(step.token.as_str())
                .image_id(from)
                .instance_type(class.clone())
                .min_count(1)
                .max_count(1)
                .set_subnet_id(build.subnet.clone())
                .set_placement(zone.clone())
                .set_security_group_ids(groups.clone())
                .set_key_name(build.key_name.clone())
                .set_iam_instance_profile(profile.clone())
                .set_metadata_options(metadata.clone())
                .tag_specifications(tags.clone())
                .send()
        };
        let answer = self.caller.call(&what, call).await?;
        let instance = answer.instances().first().and_then(|instance| instance.instance_id());
        let id = instance.ok_or_else(|| unsupported(step))?;
        Ok(Outcome::done().with(step.resource.beside(Kind::Instance, id)))
    }
}
