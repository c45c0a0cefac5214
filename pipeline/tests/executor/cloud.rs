//! An account of moto's with things in it, and an executor for it.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_ec2::types::{
    AttributeBooleanValue, Filter, InstanceType, ResourceType, Tag, TagSpecification, VolumeType,
};
use cloudops_pipeline::clock::SystemClock;
use cloudops_pipeline::executor::{
    Error, Executor, ExecutorConfig, Kind, Observed, Operation, Outcome, Resource, Settled, Step,
    Token, Undo,
};

use super::moto::Moto;

pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ZONE: &str = "us-east-1b";

pub(crate) struct Cloud {
    _moto: Moto,
    _dir: tempfile::TempDir,
    credentials: PathBuf,
    runtime: tokio::runtime::Runtime,
    pub(crate) endpoint: String,
    pub(crate) ec2: aws_sdk_ec2::Client,
    pub(crate) rds: aws_sdk_rds::Client,
    pub(crate) executor: Box<dyn Executor>,
}

impl Cloud {
    /// `None` where there is no moto.
    pub(crate) fn start() -> Option<Self> {
        let (moto, endpoint) = Moto::serve()?;
        let dir = tempfile::tempdir().unwrap();
        let credentials = dir.path().join("credentials");
        let text = "[default]\naws_access_key_id = test\naws_secret_access_key = test\n";
        std::fs::write(&credentials, text).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let http = aws_smithy_http_client::Builder::new().build_http();
        let keys = Credentials::new("test", "test", None, None, "a test");
        let ec2 = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(&endpoint)
            .region(Region::new(REGION))
            .credentials_provider(keys.clone())
            .http_client(http.clone())
            .build();
        let rds = aws_sdk_rds::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(&endpoint)
            .region(Region::new(REGION))
            .credentials_provider(keys)
            .http_client(http)
            .build();
        let executor = executor(&endpoint, &credentials, "");
        Some(Self {
            _moto: moto,
            _dir: dir,
            credentials,
            runtime,
            endpoint,
            ec2: aws_sdk_ec2::Client::from_conf(ec2),
            rds: aws_sdk_rds::Client::from_conf(rds),
            executor,
        })
    }

    /// Another executor for the same account, with more settings, at the server or before it.
    pub(crate) fn executor(&self, endpoint: &str, more: &str) -> Box<dyn Executor> {
        executor(endpoint, &self.credentials, more)
    }

    pub(crate) fn run<T, E: std::fmt::Debug>(&self, call: impl Future<Output = Result<T, E>>) -> T {
        self.runtime.block_on(call).unwrap()
    }

    /// Launches an instance in the default subnet of the zone.
    pub(crate) fn launch(&self, tags: &[(&str, &str)]) -> Resource {
        let zone = Filter::builder().name("availability-zone").values(ZONE).build();
        let subnets = self.run(self.ec2.describe_subnets().filters(zone).send());
        let subnet = subnets.subnets()[0].subnet_id().unwrap();
        let images = self.run(self.ec2.describe_images().owners("amazon").send());
        let answer = self.run(
            self.ec2
                .run_instances()
                .image_id(images.images()[0].image_id().unwrap())
                .instance_type(InstanceType::T3Micro)
                .subnet_id(subnet)
                .min_count(1)
                .max_count(1)
                .set_tag_specifications(tagged(ResourceType::Instance, tags))
                .send(),
        );
        Resource::parse(answer.instances()[0].instance_id().unwrap()).unwrap()
    }

    pub(crate) fn protect(&self, instance: &Resource, on: bool) {
        let value = AttributeBooleanValue::builder().value(on).build();
        let request = self.ec2.modify_instance_attribute().instance_id(&instance.id);
        self.run(request.disable_api_termination(value).send());
    }

    pub(crate) fn volume(&self, tags: &[(&str, &str)]) -> Resource {
        let answer = self.run(
            self.ec2
                .create_volume()
                .availability_zone(ZONE)
                .size(9)
                .volume_type(VolumeType::Gp3)
                .iops(3500)
                .throughput(250)
                .set_tag_specifications(tagged(ResourceType::Volume, tags))
                .send(),
        );
        Resource::parse(answer.volume_id().unwrap()).unwrap()
    }

    /// Ids of all instances, ended ones too.
    pub(crate) fn instances(&self) -> Vec<String> {
        let answer = self.run(self.ec2.describe_instances().send());
        let instances = answer.reservations().iter().flat_map(|at| at.instances());
        instances.map(|instance| instance.instance_id().unwrap().to_owned()).collect()
    }

    pub(crate) fn volumes(&self) -> usize {
        self.run(self.ec2.describe_volumes().send()).volumes().len()
    }

    /// How many snapshots of a volume there are.
    pub(crate) fn snapshots(&self, volume: &Resource) -> usize {
        let of = Filter::builder().name("volume-id").values(&volume.id).build();
        self.run(self.ec2.describe_snapshots().filters(of).send()).snapshots().len()
    }

    pub(crate) fn look(&self, resource: &Resource) -> Observed {
        self.executor.look(resource).unwrap().unwrap()
    }

    /// A step as it would be written down before it is performed.
    pub(crate) fn step(&self, token: &str, resource: &Resource, operation: Operation) -> Step {
        let before = self.executor.look(resource).unwrap();
        Step { token: Token::new(token).unwrap(), resource: resource.clone(), operation, before }
    }

    /// Performs a step, forgets what came of it, performs it again, and sees that it has come to be.
    pub(crate) fn twice(&self, step: &Step) -> Outcome {
        let first = self.executor.perform(step).unwrap();
        assert!(!first.already, "{step:?}");
        let again = self.executor.perform(step).unwrap();
        assert!(again.already, "{step:?}");
        assert_eq!(again.created, first.created, "{step:?}");
        assert_eq!(self.executor.settled(step, &again).unwrap(), Settled::Done, "{step:?}");
        again
    }

    /// The same of what undoes a step, on what has its place.
    pub(crate) fn undo_twice(&self, token: &str, step: &Step, resource: &Resource) -> Outcome {
        let Undo::By { operation, .. } = step.undo() else { panic!("{:?}", step.undo()) };
        self.twice(&self.step(token, resource, operation))
    }
}

fn executor(endpoint: &str, credentials: &std::path::Path, more: &str) -> Box<dyn Executor> {
    let text = format!(
        "kind = \"aws\"\nname = \"test\"\nregions = [{REGION:?}, \"eu-west-1\"]\n\
         endpoint = {endpoint:?}\ncredentials_file = {credentials:?}\npause = \"1ms\"\n{more}"
    );
    let config: ExecutorConfig = toml::from_str(&text).unwrap();
    config.build(&|_| None, Arc::new(SystemClock)).unwrap()
}

/// No tags are no specification of any.
fn tagged(kind: ResourceType, tags: &[(&str, &str)]) -> Option<Vec<TagSpecification>> {
    let list = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build());
    let all = TagSpecification::builder().resource_type(kind).set_tags(Some(list.collect()));
    (!tags.is_empty()).then(|| vec![all.build()])
}

pub(crate) fn map(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The code of a refusal.
pub(crate) fn refusal(answer: Result<Outcome, Error>) -> String {
    match answer {
        Err(Error::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

/// The resource that an outcome says was made.
pub(crate) fn created(outcome: &Outcome, kind: Kind) -> Resource {
    let created = outcome.created.clone().unwrap();
    assert_eq!(created.kind, kind);
    created
}
