//! An account of moto's with things in it, and an executor for it.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

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

/// A region each: what is in one is not in another, so that all tests share a server.
const REGIONS: [&str; 22] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "sa-east-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-east-1",
    "ap-northeast-3",
    "ca-west-1",
    "eu-south-1",
    "eu-central-2",
    "me-south-1",
];

/// A region that executors here may act in too, and where nothing is.
pub(crate) const EMPTY: &str = "af-south-1";

/// The server, for as long as a test has it.
static SERVER: Mutex<Weak<(Moto, String)>> = Mutex::new(Weak::new());

/// How many regions are taken.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct Cloud {
    _server: Arc<(Moto, String)>,
    _dir: tempfile::TempDir,
    credentials: PathBuf,
    runtime: tokio::runtime::Runtime,
    pub(crate) region: &'static str,
    /// The region's last zone: not the one that moto would take by itself.
    pub(crate) zone: String,
    pub(crate) endpoint: String,
    pub(crate) ec2: aws_sdk_ec2::Client,
    pub(crate) rds: aws_sdk_rds::Client,
    pub(crate) executor: Box<dyn Executor>,
}

impl Cloud {
    /// `None` where there is no moto.
    pub(crate) fn start() -> Option<Self> {
        let server = {
            let mut running = SERVER.lock().unwrap();
            let server = match running.upgrade() {
                Some(server) => server,
                None => Arc::new(Moto::serve()?),
            };
            *running = Arc::downgrade(&server);
            server
        };
        let endpoint = server.1.clone();
        let region = REGIONS[TAKEN.fetch_add(1, Ordering::Relaxed)];
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
            .region(Region::new(region))
            .credentials_provider(keys.clone())
            .http_client(http.clone())
            .build();
        let rds = aws_sdk_rds::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(&endpoint)
            .region(Region::new(region))
            .credentials_provider(keys)
            .http_client(http)
            .build();
        let ec2 = aws_sdk_ec2::Client::from_conf(ec2);
        let zones = runtime.block_on(ec2.describe_availability_zones().send()).unwrap();
        let zone = zones.availability_zones().iter().filter_map(|zone| zone.zone_name()).max();
        let zone = zone.unwrap().to_owned();
        let executor = executor(region, &endpoint, &credentials, "");
        Some(Self {
            _server: server,
            _dir: dir,
            credentials,
            runtime,
            region,
            zone,
            endpoint,
            ec2,
            rds: aws_sdk_rds::Client::from_conf(rds),
            executor,
        })
    }

    /// Another executor for the same account, with more settings, at the server or before it.
    pub(crate) fn executor(&self, endpoint: &str, more: &str) -> Box<dyn Executor> {
        executor(self.region, endpoint, &self.credentials, more)
    }

    pub(crate) fn run<T, E: std::fmt::Debug>(&self, call: impl Future<Output = Result<T, E>>) -> T {
        self.runtime.block_on(call).unwrap()
    }

    /// Launches an instance in the default subnet of the zone.
    pub(crate) fn launch(&self, tags: &[(&str, &str)]) -> Resource {
        let zone = Filter::builder().name("availability-zone").values(&self.zone).build();
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
                .availability_zone(&self.zone)
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

fn executor(region: &str, endpoint: &str, credentials: &Path, more: &str) -> Box<dyn Executor> {
    let text = format!(
        "kind = \"aws\"\nname = \"test\"\nregions = [{region:?}, {EMPTY:?}]\n\
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
