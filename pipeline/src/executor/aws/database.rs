//! RDS instances: looked at, stopped, started, resized, copied, deleted and restored.

use std::collections::BTreeMap;

use aws_sdk_rds::primitives::DateTime;
use aws_sdk_rds::types::{DbInstance, Tag};

use super::call::present;
use super::session::{Session, copy_tags, later, name_of, tags_again, wrong_state};
use crate::executor::error::{Error, Result, code};
use crate::executor::guard::TOKEN_TAG;
use crate::executor::observed::{Build, Observed, Protection, Size, State};
use crate::executor::resource::Kind;
use crate::executor::step::{Outcome, Step};

/// States that nothing but time or a person ends.
const STUCK: [&str; 4] =
    ["failed", "restore-error", "storage-full", "inaccessible-encryption-credentials"];

impl Session<'_> {
    pub(super) async fn look_at_database(&self, id: &str) -> Result<Option<Observed>> {
        Ok(self.database(id).await?.as_ref().map(observed))
    }

    async fn database(&self, id: &str) -> Result<Option<DbInstance>> {
        let what = format!("look at database {id}");
        let call = || self.rds.describe_db_instances().db_instance_identifier(id).send();
        let answer = present(self.caller.call(&what, call).await)?;
        Ok(answer.and_then(|answer| answer.db_instances().first().cloned()))
    }

    pub(super) async fn stop_database(&self, step: &Step, found: &Observed) -> Result<Outcome> {
        match (found.state, found.said.as_str()) {
            (State::Stopped, _) | (_, "stopping") => return Ok(Outcome::already()),
            (State::Running, _) => {}
            (State::Changing, _) => return Err(later(step, found)),
            _ => return Err(wrong_state(step, found, "it does not run")),
        }
        let id = &step.resource.id;
        let call = || self.rds.stop_db_instance().db_instance_identifier(id).send();
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }

    pub(super) async fn start_database(&self, step: &Step, found: &Observed) -> Result<Outcome> {
        match (found.state, found.said.as_str()) {
            (State::Running, _) | (_, "starting") => return Ok(Outcome::already()),
            (State::Stopped, _) => {}
            (State::Changing, _) => return Err(later(step, found)),
            _ => return Err(wrong_state(step, found, "it is not stopped")),
        }
        let id = &step.resource.id;
        let call = || self.rds.start_db_instance().db_instance_identifier(id).send();
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }

    /// At once and not in the next maintenance window: the database restarts for it.
    pub(super) async fn resize_database(
        &self,
        step: &Step,
        found: &Observed,
        to: &Size,
    ) -> Result<Outcome> {
        let id = &step.resource.id;
        if to.holds_for(&found.size) || self.database_resizing(id, to).await? {
            return Ok(Outcome::already());
        }
        if to.storage_gib < found.size.storage_gib && to.storage_gib.is_some() {
            return Err(Error::Unsupported(format!("{}: a database cannot shrink", step.what())));
        }
        match found.state {
            State::Running | State::Stopped => {}
            State::Changing => return Err(later(step, found)),
            _ => return Err(wrong_state(step, found, "it cannot be resized")),
        }
        let call = || {
            self.rds
                .modify_db_instance()
                .db_instance_identifier(id)
                .set_db_instance_class(to.class.clone())
                .set_allocated_storage(to.storage_gib)
                .set_iops(to.iops)
                .set_storage_throughput(to.throughput_mib)
                .apply_immediately(true)
                .send()
        };
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }

    /// Whether all of `to` that it has not is on its way.
    pub(super) async fn database_resizing(&self, id: &str, to: &Size) -> Result<bool> {
        let Some(database) = self.database(id).await? else { return Ok(false) };
        let Some(pending) = database.pending_modified_values() else { return Ok(false) };
        let size = observed(&database).size;
        let coming = Size {
            class: pending.db_instance_class().map(str::to_owned).or(size.class),
            storage_gib: pending.allocated_storage().or(size.storage_gib),
            iops: pending.iops().or(size.iops),
            throughput_mib: pending.storage_throughput().or(size.throughput_mib),
        };
        Ok(to.holds_for(&coming))
    }

    pub(super) async fn snapshot_database(&self, step: &Step, found: &Observed) -> Result<Outcome> {
        let (id, name) = (&step.resource.id, name_of(&step.token));
        let copy = step.resource.beside(Kind::DatabaseSnapshot, &name);
        if let Some(made) = self.database_snapshot(&name).await? {
            if made.db_instance_identifier() == Some(id) {
                return Ok(Outcome::already().with(copy));
            }
            let of = made.db_instance_identifier().unwrap_or_default();
            let message = format!("there is a snapshot {name} of {of}");
            return Err(Error::refused(step.what(), code::TAKEN, message));
        }
        match found.state {
            State::Running | State::Stopped => {}
            State::Changing => return Err(later(step, found)),
            _ => return Err(wrong_state(step, found, "it cannot be copied")),
        }
        let call = || {
            let request = self.rds.create_db_snapshot().db_instance_identifier(id);
            let request = request.db_snapshot_identifier(&name);
            request.set_tags(Some(tag_list(&copy_tags(step)))).send()
        };
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done().with(copy))
    }

    /// No last snapshot is taken with it: the step names one, which is of a stopped database as it was to
    /// its end.
    pub(super) async fn delete_database(&self, step: &Step, found: &Observed) -> Result<Outcome> {
        if found.state == State::Changing {
            return Err(later(step, found));
        }
        let id = &step.resource.id;
        let call = || {
            let request = self.rds.delete_db_instance().db_instance_identifier(id);
            request.skip_final_snapshot(true).send()
        };
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done())
    }

    /// The restored database has the name, and so the address, of the deleted one.
    pub(super) async fn restore_database(
        &self,
        step: &Step,
        found: Option<Observed>,
        from: &str,
        like: &Observed,
    ) -> Result<Outcome> {
        if let Some(found) = found {
            let ours = found.tags.get(TOKEN_TAG).is_some_and(|tag| tag == step.token.as_str());
            return match found.state {
                _ if ours => Ok(Outcome::already().with(step.resource.clone())),
                State::Ending => Err(later(step, &found)),
                _ => Err(Error::refused(step.what(), code::TAKEN, "there is one of this name")),
            };
        }
        let build = &like.build;
        let multi_zone = build.multi_zone == Some(true);
        let zone = like.zone.clone().filter(|_| !multi_zone);
        let groups = Some(build.security_groups.clone()).filter(|groups| !groups.is_empty());
        let given = takes_iops(like);
        // Default groups go with the engine's version, which the snapshot knows.
        let own = |name: &Option<String>| name.clone().filter(|name| !name.starts_with("default"));
        let (parameters, options) = (own(&build.parameters), own(&build.options));
        let tags = tag_list(&tags_again(step, like));
        let call = || {
            self.rds
                .restore_db_instance_from_db_snapshot()
                .db_instance_identifier(&step.resource.id)
                .db_snapshot_identifier(from)
                .set_db_instance_class(like.size.class.clone())
                .set_iops(like.size.iops.filter(|_| given))
                .set_storage_throughput(like.size.throughput_mib.filter(|_| given))
                .set_storage_type(build.storage_type.clone())
                .set_db_subnet_group_name(build.subnet.clone())
                .set_vpc_security_group_ids(groups.clone())
                .set_db_parameter_group_name(parameters.clone())
                .set_option_group_name(options.clone())
                .set_port(build.port)
                .set_multi_az(build.multi_zone)
                .set_availability_zone(zone.clone())
                .set_publicly_accessible(build.public)
                .set_tags(Some(tags.clone()))
                .send()
        };
        self.caller.call(&step.what(), call).await?;
        Ok(Outcome::done().with(step.resource.clone()))
    }
}

/// Whether numbers of operations and of throughput may be asked for: of smaller gp3 storage RDS tells them
/// and takes none.
fn takes_iops(like: &Observed) -> bool {
    match like.build.storage_type.as_deref() {
        Some("io1" | "io2") => true,
        Some("gp3") => like.size.storage_gib >= Some(400),
        _ => false,
    }
}

fn observed(database: &DbInstance) -> Observed {
    let said = database.db_instance_status().unwrap_or_default();
    let state = match said {
        "available" => State::Running,
        "stopped" => State::Stopped,
        "deleting" => State::Ending,
        _ if STUCK.contains(&said) || said.starts_with("incompatible-") => State::Other,
        // "modifying", "backing-up", "starting" and two dozen others, all of which end by themselves.
        _ => State::Changing,
    };
    let mut found = Observed::new(state, said);
    found.size = Size {
        class: database.db_instance_class().map(str::to_owned),
        storage_gib: database.allocated_storage(),
        iops: database.iops(),
        throughput_mib: database.storage_throughput(),
    };
    found.zone = database.availability_zone().map(str::to_owned);
    found.tags = tag_map(database.tag_list());
    found.made_us = micros(database.instance_create_time());
    if database.deletion_protection() == Some(true) {
        found.protections.push(Protection::Ending);
    }
    if let Some(cluster) = database.db_cluster_identifier() {
        found.protections.push(Protection::Group(cluster.to_owned()));
    }
    let subnets = database.db_subnet_group().and_then(|group| group.db_subnet_group_name());
    let groups = database.vpc_security_groups().iter();
    let groups = groups.filter_map(|group| group.vpc_security_group_id().map(str::to_owned));
    let parameters = database.db_parameter_groups().first();
    let parameters = parameters.and_then(|group| group.db_parameter_group_name());
    let options = database.option_group_memberships().first();
    let options = options.and_then(|group| group.option_group_name());
    found.build = Build {
        subnet: subnets.map(str::to_owned),
        security_groups: groups.collect(),
        encrypted: database.storage_encrypted(),
        encryption_key: database.kms_key_id().map(str::to_owned),
        storage_type: database.storage_type().map(str::to_owned),
        parameters: parameters.map(str::to_owned),
        options: options.map(str::to_owned),
        port: database.endpoint().and_then(|endpoint| endpoint.port()),
        multi_zone: database.multi_az(),
        public: database.publicly_accessible(),
        arn: database.db_instance_arn().map(str::to_owned),
        ..Build::default()
    };
    found
}

pub(super) fn tag_list(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

pub(super) fn tag_map(tags: &[Tag]) -> BTreeMap<String, String> {
    let pair = |tag: &Tag| {
        (tag.key().unwrap_or_default().to_owned(), tag.value().unwrap_or_default().to_owned())
    };
    tags.iter().map(pair).collect()
}

pub(super) fn micros(time: Option<&DateTime>) -> Option<i64> {
    i64::try_from(time?.as_nanos() / 1000).ok()
}
