//! What an executor refuses by itself, whatever it is told.
//!
//! The caller has its own guard-rails. These stand behind them, next to the call: they see the resource
//! as it is a moment before it is acted on, not as it was when the step was decided on.

use serde::Deserialize;

use super::config::Environment;
use super::error::{Error, Result, code};
use super::observed::Observed;
use super::operation::Operation;
use super::resource::Kind;
use super::step::Step;

/// The variable that names the instance that the process runs on, where the configuration does not.
pub const SELF_VARIABLE: &str = "CLOUDOPS_INSTANCE_ID";

/// The tag by which what a step has made is found again.
pub const TOKEN_TAG: &str = "cloudops:token";

/// The tag that says what a copy was made of.
pub const SOURCE_TAG: &str = "cloudops:source";

/// `guard`: what is never touched.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// The id of the instance that this process runs on. Neither it nor what is attached to it is acted
    /// on. Default: the environment variable `CLOUDOPS_INSTANCE_ID`; where that is not set either,
    /// nothing is excluded.
    pub self_id: Option<String>,
    /// Tags that forbid everything, as `key` or `key=value`. Nobody sets or removes them through an
    /// executor. Default: none.
    pub protected_tags: Vec<String>,
}

/// A checked [`GuardConfig`].
#[derive(Debug, Clone, Default)]
pub struct Guard {
    self_id: Option<String>,
    protected: Vec<(String, Option<String>)>,
}

impl GuardConfig {
    /// Checks it.
    ///
    /// # Errors
    /// When a tag has no key, or the own id is empty.
    pub fn validate(self, environment: &Environment<'_>) -> Result<Guard> {
        let self_id = self.self_id.or_else(|| environment(SELF_VARIABLE));
        if self_id.as_deref() == Some("") {
            let message = format!("it is empty, here or in {SELF_VARIABLE}");
            return Err(Error::configuration("guard.self_id", message));
        }
        let tag = |text: &String| {
            let (key, value) = match text.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (text.as_str(), None),
            };
            if key.is_empty() {
                let message = format!("{text:?} has no key");
                return Err(Error::configuration("guard.protected_tags", message));
            }
            Ok((key.to_owned(), value))
        };
        let protected = self.protected_tags.iter().map(tag).collect::<Result<_>>()?;
        Ok(Guard { self_id, protected })
    }
}

impl Guard {
    /// Whether a step may be performed on a resource as it was found, if it was.
    ///
    /// # Errors
    /// [`Error::Refused`] with one of the codes of this module's own.
    pub fn check(&self, step: &Step, found: Option<&Observed>) -> Result<()> {
        let refuse = |code, message: String| Err(Error::refused(step.what(), code, message));
        if let Some(own) = &self.self_id {
            let attached =
                || found.is_some_and(|found| found.attachments.iter().any(|at| at.id == *own));
            let named = match &step.operation {
                Operation::Attach { instance, .. } | Operation::Detach { instance } => {
                    instance == own
                }
                _ => false,
            };
            let volume = step.resource.kind == Kind::Volume && !step.operation.is_harmless();
            if step.resource.id == *own || named || volume && attached() {
                let message = format!("this process runs on {own}");
                return refuse(code::OWN_INSTANCE, message);
            }
        }
        if let Operation::Tag { set, remove } = &step.operation {
            let reserved = |key: &&String| {
                key.starts_with("aws:")
                    || [TOKEN_TAG, SOURCE_TAG].contains(&key.as_str())
                    || self.protected.iter().any(|(protected, _)| protected == *key)
            };
            if let Some(key) = set.keys().chain(remove).find(reserved) {
                let message = format!("the tag {key} is not for executors to change");
                return refuse(code::PROTECTED_TAG, message);
            }
        }
        let Some(found) = found else { return Ok(()) };
        for (key, value) in &self.protected {
            let tag = found.tags.get(key);
            if tag.is_some_and(|tag| value.as_ref().is_none_or(|value| value == tag)) {
                return refuse(code::PROTECTED_TAG, format!("it carries the tag {key}"));
            }
        }
        match found.forbidding(&step.operation) {
            Some(protection) => refuse(code::PROTECTED, protection.reason()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::executor::observed::{Attachment, Protection, State};
    use crate::executor::operation::Backup;
    use crate::executor::resource::Resource;
    use crate::executor::step::Token;

    fn step(id: &str, operation: Operation) -> Step {
        Step {
            token: Token::new("a").unwrap(),
            resource: Resource::parse(id).unwrap(),
            operation,
            before: None,
        }
    }

    fn refusal(guard: &Guard, step: &Step, found: &Observed) -> Option<String> {
        match guard.check(step, Some(found)) {
            Ok(()) => None,
            Err(Error::Refused { code, .. }) => Some(code),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn nothing_of_its_own_and_nothing_protected_is_touched() {
        let config = GuardConfig {
            self_id: None,
            protected_tags: vec!["keep".to_owned(), "env=production".to_owned()],
        };
        let own = |name: &str| (name == SELF_VARIABLE).then(|| "i-0a".to_owned());
        let guard = config.validate(&own).unwrap();
        let check = |step: &Step, found: &Observed, code: Option<&str>| {
            assert_eq!(refusal(&guard, step, found).as_deref(), code, "{step:?}");
        };
        let mut found = Observed::new(State::Running, "running");
        check(&step("i-0a", Operation::Stop), &found, Some(code::OWN_INSTANCE));
        check(&step("i-0b", Operation::Stop), &found, None);
        let detach = Operation::Detach { instance: "i-0a".to_owned() };
        check(&step("vol-0a", detach), &found, Some(code::OWN_INSTANCE));

        found.attachments = vec![Attachment {
            id: "i-0a".to_owned(),
            device: "/dev/sdb".to_owned(),
            ends_with_instance: false,
        }];
        let delete = || Operation::Delete { backup: Backup::Waived("test".to_owned()) };
        check(&step("vol-0a", delete()), &found, Some(code::OWN_INSTANCE));
        check(&step("vol-0a", Operation::Snapshot), &found, None);

        found.attachments.clear();
        found.tags = BTreeMap::from([("env".to_owned(), "test".to_owned())]);
        check(&step("vol-0a", delete()), &found, None);
        found.tags.insert("env".to_owned(), "production".to_owned());
        check(&step("vol-0a", delete()), &found, Some(code::PROTECTED_TAG));
        found.tags = BTreeMap::from([("keep".to_owned(), String::new())]);
        check(&step("vol-0a", Operation::Snapshot), &found, Some(code::PROTECTED_TAG));

        found.tags.clear();
        for key in ["keep", "aws:autoscaling:groupName", TOKEN_TAG] {
            let remove = BTreeSet::from([key.to_owned()]);
            let tag = Operation::Tag { set: BTreeMap::new(), remove };
            check(&step("vol-0a", tag), &found, Some(code::PROTECTED_TAG));
        }

        found.protections = vec![Protection::Group("web".to_owned())];
        check(&step("i-0b", Operation::Stop), &found, Some(code::PROTECTED));
        check(&step("i-0b", Operation::Image { reboot: false }), &found, None);
        found.protections = vec![Protection::Ending];
        let terminate = Operation::Terminate { backup: Backup::Waived("test".to_owned()) };
        check(&step("i-0b", terminate), &found, Some(code::PROTECTED));
        check(&step("i-0b", Operation::Stop), &found, None);
    }

    #[test]
    fn a_wrong_guard_is_named() {
        let tags = GuardConfig { protected_tags: vec!["=a".to_owned()], ..GuardConfig::default() };
        let error = tags.validate(&|_| None).unwrap_err().to_string();
        assert!(error.starts_with("guard.protected_tags: "), "{error}");
        let error = GuardConfig::default().validate(&|_| Some(String::new())).unwrap_err();
        assert!(error.to_string().starts_with("guard.self_id: "), "{error}");
    }
}
