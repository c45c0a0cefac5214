//! Amazon's EC2 and RDS.
//!
//! What a look needs, `Describe…` calls alone, read-only credentials can do. What makes a step happen once:
//!
//! | step | how a second attempt is recognised |
//! |---|---|
//! | stop, start, resize, tag, attach, detach, delete, terminate | by the state |
//! | relaunch | `ClientToken`; before that by the tag `cloudops:token`, which the call itself sets |
//! | restore of a volume | the same |
//! | image | its name, which is unique in an account and region, and the tag |
//! | snapshot and restore of a database | the name, which is unique |
//! | snapshot of a volume | the tag alone: `CreateSnapshot` takes no token |
//!
//! In the last case AWS may for some seconds not show what was made, so that an attempt right after a lost
//! answer could make a second snapshot. An error whose outcome is not known therefore asks for a wait of 15 s. (The EBS direct API has a call with a token, but it makes a snapshot of blocks that one
//! sends, and none of a volume.)

mod call;
mod copy;
mod database;
mod instance;
mod relaunch;
mod session;
mod settle;
mod tag;
mod volume;

use std::path::Path;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use tokio::runtime::Runtime;

use self::call::Caller;
use self::session::Session;
use super::Executor;
use super::backoff::Backoff;
use super::config::{AwsConfig, Environment};
use super::error::{Error, Result, code};
use super::guard::Guard;
use super::observed::Observed;
use super::resource::{AWS, Resource};
use super::step::{Outcome, Settled, Step};

/// The longest pause between requests that AWS turns away.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// The executor for one account.
#[derive(Debug)]
pub struct Aws {
    name: String,
    /// The first is that of resources whose id names none.
    regions: Vec<String>,
    account: Option<String>,
    config: SdkConfig,
    caller: Caller,
    guard: Guard,
    runtime: Runtime,
}

impl Aws {
    /// Checks a configuration. Nothing is sent, and credentials are first looked for when they are needed.
    ///
    /// # Errors
    /// [`Error::Configuration`], with the field's name.
    pub fn new(config: AwsConfig, environment: &Environment<'_>) -> Result<Self> {
        validate(&config)?;
        let guard = config.guard.validate(environment)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Error::configuration("kind", format!("aws: {error}")))?;
        // The binary holds two providers of cryptography: one is named.
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT.min(config.timeout))
            .operation_timeout(config.timeout)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(config.regions[0].clone()))
            .http_client(http)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled());
        if let Some(profile) = config.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(file) = config.credentials_file {
            let kind = EnvConfigFileKind::Credentials;
            loader = loader.profile_files(EnvConfigFiles::builder().with_file(kind, file).build());
        }
        if let Some(endpoint) = config.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let loaded = runtime.block_on(Box::pin(loader.load()));
        let backoff =
            Backoff { attempts: config.attempts, first: config.pause, longest: PAUSE_MAX };
        Ok(Self {
            name: config.name,
            regions: config.regions,
            account: config.account,
            config: loaded,
            caller: Caller { backoff },
            guard,
            runtime,
        })
    }

    /// The clients for a resource's region. They are cheap: connections and credentials are shared.
    fn session(&self, what: impl Fn() -> String, resource: &Resource) -> Result<Session<'_>> {
        if resource.provider != AWS {
            let message = format!("{}: {} is not a resource of aws", self.name, resource);
            return Err(Error::Unsupported(message));
        }
        if let (Some(own), Some(other)) = (&self.account, &resource.account)
            && own != other
        {
            let message = format!("{} acts in account {own}, and not in {other}", self.name);
            return Err(Error::refused(what(), code::PROTECTED, message));
        }
        let region = resource.region.as_ref().unwrap_or(&self.regions[0]);
        if !self.regions.contains(region) {
            let message = format!("{} does not act in {region}", self.name);
            return Err(Error::refused(what(), code::PROTECTED, message));
        }
        let config = self.config.to_builder().region(Region::new(region.clone())).build();
        Ok(Session {
            ec2: aws_sdk_ec2::Client::new(&config),
            rds: aws_sdk_rds::Client::new(&config),
            caller: self.caller,
            guard: &self.guard,
        })
    }
}

impl Executor for Aws {
    fn name(&self) -> &str {
        &self.name
    }

    fn look(&self, resource: &Resource) -> Result<Option<Observed>> {
        let session = self.session(|| format!("look at {resource}"), resource)?;
        self.runtime.block_on(Box::pin(session.look(resource)))
    }

    fn perform(&self, step: &Step) -> Result<Outcome> {
        let session = self.session(|| step.what(), &step.resource)?;
        if !step.operation.applies_to(step.resource.kind) {
            return Err(session::unsupported(step));
        }
        self.runtime.block_on(Box::pin(session.perform(step)))
    }

    fn settled(&self, step: &Step, outcome: &Outcome) -> Result<Settled> {
        let session = self.session(|| format!("verify {}", step.what()), &step.resource)?;
        self.runtime.block_on(Box::pin(session.settled(step, outcome)))
    }
}

fn validate(config: &AwsConfig) -> Result<()> {
    let wrong = |field: &str, message: &str| Err(Error::configuration(field, message));
    let name = |text: &String| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !text.is_empty() && text.bytes().all(allowed)
    };
    if config.regions.is_empty() || !config.regions.iter().all(name) {
        return wrong("regions", "it must name regions, such as us-east-1");
    }
    let digits = |text: &String| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if config.account.as_ref().is_some_and(|account| !digits(account)) {
        return wrong("account", "it must have twelve digits");
    }
    if let Some(endpoint) = &config.endpoint {
        let url = url::Url::parse(endpoint);
        let url = url.map_err(|error| Error::configuration("endpoint", error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return wrong("endpoint", "it must begin with https:// or http://");
        }
    }
    let exists = |path: &Path| path.is_file();
    if config.credentials_file.as_deref().is_some_and(|path| !exists(path)) {
        return wrong("credentials_file", "there is no such file");
    }
    if config.timeout.is_zero() {
        return wrong("timeout", "it must be longer than nothing");
    }
    if config.attempts == 0 {
        return wrong("attempts", "it must be 1 at least");
    }
    Ok(())
}
