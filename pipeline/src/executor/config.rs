//! Executors as they are configured.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::Executor;
use super::command::CommandHook;
use super::error::{Error, Result};
use super::guard::GuardConfig;
use super::read_only::ReadOnly;
use super::secret::SecretConfig;
use super::webhook::Webhook;
use crate::clock::Clock;
use crate::config::duration;

/// How a variable of the environment is found: given, so that tests can have one of their own.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The environment of this process.
#[must_use]
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// One executor, by its `kind`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExecutorConfig {
    /// Amazon's EC2 and RDS.
    Aws(AwsConfig),
    /// A service that is sent signed requests.
    Webhook(WebhookConfig),
    /// A program that is run.
    Command(CommandConfig),
}

impl ExecutorConfig {
    /// Checks the settings and gives the executor. Nothing is sent or run.
    ///
    /// # Errors
    /// [`Error::Configuration`], with the field's name.
    pub fn build(
        self,
        environment: &Environment<'_>,
        clock: Arc<dyn Clock>,
    ) -> Result<Box<dyn Executor>> {
        let (name, read_only) = match &self {
            Self::Aws(config) => (&config.name, config.read_only),
            Self::Webhook(config) => (&config.name, config.read_only),
            Self::Command(config) => (&config.name, config.read_only),
        };
        if name.is_empty() {
            return Err(Error::configuration("name", "it is empty"));
        }
        match self {
            #[cfg(feature = "aws")]
            Self::Aws(config) => Ok(boxed(super::aws::Aws::new(config, environment)?, read_only)),
            #[cfg(not(feature = "aws"))]
            Self::Aws(_) => {
                Err(Error::configuration("kind", "aws needs a binary that was built with it"))
            }
            Self::Webhook(config) => {
                Ok(boxed(Webhook::new(config, environment, clock)?, read_only))
            }
            Self::Command(config) => Ok(boxed(CommandHook::new(config, environment)?, read_only)),
        }
    }
}

fn boxed(executor: impl Executor + 'static, read_only: bool) -> Box<dyn Executor> {
    if read_only { Box::new(ReadOnly(executor)) } else { Box::new(executor) }
}

/// Amazon's EC2 and RDS in one account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsConfig {
    /// What the executor is called in policies and in the log.
    pub name: String,
    /// The regions that may be acted in. A resource whose id names no region is in the first.
    pub regions: Vec<String>,
    /// The account that may be acted in. A resource whose id names another is refused; one whose id names
    /// none is taken to be in the account of the credentials. Default: not checked.
    #[serde(default)]
    pub account: Option<String>,
    /// The profile to take credentials from. Default: what AWS's own tools would take: the
    /// environment, the default profile, a web identity, the container's or the instance's role.
    #[serde(default)]
    pub profile: Option<String>,
    /// A file of credentials, in the format of `~/.aws/credentials`, instead of the usual files. Default:
    /// the usual files.
    #[serde(default)]
    pub credentials_file: Option<PathBuf>,
    /// An endpoint instead of AWS's own, for both services. Default: AWS's.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Only look: every step is refused before a request is sent. Default: false.
    #[serde(default)]
    pub read_only: bool,
    /// How long one request may take. Default: 30 s.
    #[serde(default = "thirty_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
    /// How often a request is sent, in all, that AWS turns away because there are too many. Default: 5.
    #[serde(default = "five")]
    pub attempts: u32,
    /// The pause after the first of them; it doubles, up to 20 s. Default: 1 s.
    #[serde(default = "one_second", deserialize_with = "duration")]
    pub pause: Duration,
    /// What is never touched.
    #[serde(default)]
    pub guard: GuardConfig,
}

/// A service that is sent signed requests.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// What the executor is called in policies and in the log.
    pub name: String,
    /// Where requests go: `https://…`. With `http://` anyone on the way can read them, but not change
    /// them.
    pub url: String,
    /// What requests are signed with.
    pub secret: SecretConfig,
    /// Whether the service answers `look` and `settled` too. Otherwise nothing is looked at, and a step
    /// counts as settled once it was answered. Default: false.
    #[serde(default)]
    pub looks: bool,
    /// Only look: every step is refused before a request is sent. Default: false.
    #[serde(default)]
    pub read_only: bool,
    /// How long one request may take. Default: 30 s.
    #[serde(default = "thirty_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
    /// How long to wait before a step is sent again whose outcome is not known, unless the answer says
    /// how long. Default: 1 min.
    #[serde(default = "one_minute", deserialize_with = "duration")]
    pub retry_after: Duration,
    /// What is never touched, judged by what the caller has seen.
    #[serde(default)]
    pub guard: GuardConfig,
}

/// A program that is run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// What the executor is called in policies and in the log.
    pub name: String,
    /// The program; a name without a slash is looked for in `PATH`.
    pub program: PathBuf,
    /// Its arguments, each passed as it stands: there is no shell. Default: none.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Names of variables of this process's environment that the program sees, besides `PATH`, `HOME`,
    /// `LANG` and `TZ`. Default: none.
    #[serde(default)]
    pub environment: Vec<String>,
    /// Whether the program answers `look` and `settled` too. Otherwise nothing is looked at, and a step
    /// counts as settled once the program has ended. Default: false.
    #[serde(default)]
    pub looks: bool,
    /// Only look: every step is refused before the program is run. Default: false.
    #[serde(default)]
    pub read_only: bool,
    /// How long it may run before it is killed, with all that it has started. Default: 30 s.
    #[serde(default = "thirty_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
    /// How long to wait before a step is tried again. Default: 1 min.
    #[serde(default = "one_minute", deserialize_with = "duration")]
    pub retry_after: Duration,
    /// What is never touched, judged by what the caller has seen.
    #[serde(default)]
    pub guard: GuardConfig,
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

fn one_minute() -> Duration {
    Duration::from_secs(60)
}

fn five() -> u32 {
    5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FixedClock;

    fn build(text: &str) -> Result<Box<dyn Executor>> {
        let config: ExecutorConfig = toml::from_str(text)
            .map_err(|error| Error::configuration("toml", error.message().to_owned()))?;
        let environment =
            |name: &str| (name == "HOOK_SECRET").then(|| "0123456789abcdef".to_owned());
        config.build(&environment, Arc::new(FixedClock(0)))
    }

    #[test]
    fn each_kind_is_built_from_its_smallest_form() {
        let check = |text: &str| {
            let executor = build(text).unwrap();
            assert_eq!(executor.name(), "a");
        };
        if cfg!(feature = "aws") {
            check("kind = \"aws\"\nname = \"a\"\nregions = [\"us-east-1\"]");
        }
        check(
            "kind = \"webhook\"\nname = \"a\"\nurl = \"https://example.com/hook\"\n\
             secret = { env = \"HOOK_SECRET\" }",
        );
        check("kind = \"command\"\nname = \"a\"\nprogram = \"hook\"\ntimeout = \"5s\"");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |text: &str, field: &str| {
            let error = build(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{field}: ")), "{text}: {error}");
        };
        let hook = "kind = \"webhook\"\nname = \"a\"\nsecret = { env = \"HOOK_SECRET\" }\n";
        check(&format!("{hook}url = \"ftp://example.com\""), "url");
        check(&format!("{hook}url = \"nowhere\""), "url");
        check(&format!("{hook}url = \"https://a.b\"\ntimeout = \"0s\""), "timeout");
        check(
            "kind = \"webhook\"\nname = \"a\"\nurl = \"https://a.b\"\nsecret = { env = \"NONE\" }",
            "secret",
        );
        check("kind = \"command\"\nname = \"\"\nprogram = \"a\"", "name");
        check("kind = \"command\"\nname = \"a\"\nprogram = \"\"", "program");
        check(
            "kind = \"command\"\nname = \"a\"\nprogram = \"a\"\nenvironment = [\"NONE\"]",
            "environment",
        );
        check("kind = \"command\"\nname = \"a\"\nprogram = \"a\"\nshell = true", "toml");
        if cfg!(feature = "aws") {
            let aws = "kind = \"aws\"\nname = \"a\"\n";
            check(&format!("{aws}regions = []"), "regions");
            check(&format!("{aws}regions = [\"us east\"]"), "regions");
            check(&format!("{aws}regions = [\"a\"]\naccount = \"12\""), "account");
            check(&format!("{aws}regions = [\"a\"]\nendpoint = \"here\""), "endpoint");
            check(&format!("{aws}regions = [\"a\"]\nattempts = 0"), "attempts");
        } else {
            check("kind = \"aws\"\nname = \"a\"\nregions = [\"us-east-1\"]", "kind");
        }
    }
}
