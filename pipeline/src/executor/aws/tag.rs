//! Tags of either service.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::Tag;

use super::database;
use super::session::{Session, tag_list, unsupported};
use crate::executor::error::Result;
use crate::executor::observed::Observed;
use crate::executor::resource::Kind;
use crate::executor::step::{Outcome, Step};

impl Session<'_> {
    /// Setting and removing may be two calls. A crash between them is healed by the next attempt: both say
    /// what is to be so.
    pub(super) async fn tag(
        &self,
        step: &Step,
        found: &Observed,
        set: &BTreeMap<String, String>,
        remove: &BTreeSet<String>,
    ) -> Result<Outcome> {
        let missing = set.iter().filter(|(key, value)| found.tags.get(*key) != Some(value));
        let missing: BTreeMap<_, _> =
            missing.map(|(key, value)| (key.clone(), value.clone())).collect();
        let surplus: Vec<&String> =
            remove.iter().filter(|key| found.tags.contains_key(*key)).collect();
        if missing.is_empty() && surplus.is_empty() {
            return Ok(Outcome::already());
        }
        match step.resource.kind {
            Kind::Database | Kind::DatabaseSnapshot => {
                self.tag_rds(step, found, &missing, &surplus).await?;
            }
            _ => self.tag_ec2(step, &missing, &surplus).await?,
        }
        Ok(Outcome::done())
    }

    async fn tag_ec2(
        &self,
        step: &Step,
        set: &BTreeMap<String, String>,
        remove: &[&String],
    ) -> Result<()> {
        let (id, what) = (&step.resource.id, step.what());
        if !set.is_empty() {
            let call = || self.ec2.create_tags().resources(id).set_tags(Some(tag_list(set))).send();
            self.caller.call(&what, call).await?;
        }
        if !remove.is_empty() {
            let tags: Vec<Tag> =
                remove.iter().map(|key| Tag::builder().key(key.as_str()).build()).collect();
            let call = || self.ec2.delete_tags().resources(id).set_tags(Some(tags.clone())).send();
            self.caller.call(&what, call).await?;
        }
        Ok(())
    }

    async fn tag_rds(
        &self,
        step: &Step,
        found: &Observed,
        set: &BTreeMap<String, String>,
        remove: &[&String],
    ) -> Result<()> {
        let arn = found.build.arn.as_deref().ok_or_else(|| unsupported(step))?;
        let what = step.what();
        if !set.is_empty() {
            let tags = database::tag_list(set);
            let call = || {
                let request = self.rds.add_tags_to_resource().resource_name(arn);
                request.set_tags(Some(tags.clone())).send()
            };
            self.caller.call(&what, call).await?;
        }
        if !remove.is_empty() {
            let keys: Vec<String> = remove.iter().map(|key| (*key).clone()).collect();
            let call = || {
                let request = self.rds.remove_tags_from_resource().resource_name(arn);
                request.set_tag_keys(Some(keys.clone())).send()
            };
            self.caller.call(&what, call).await?;
        }
        Ok(())
    }
}
