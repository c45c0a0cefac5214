//! What drift is not to be told of.

use serde::Deserialize;

/// `[[config_drift.ignore]]`: drift that matches all of these is not told. `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ignore {
    /// The resource's id. Default: `*`.
    #[serde(default = "any")]
    pub resource: String,
    /// What the resource is. Default: `*`.
    #[serde(default = "any")]
    pub resource_type: String,
    /// The attribute's path, and all below it. Default: `*`.
    #[serde(default = "any")]
    pub path: String,
}

fn any() -> String {
    "*".to_owned()
}

impl Ignore {
    /// Whether the rule ignores everything: an oversight.
    #[must_use]
    pub fn is_all(&self) -> bool {
        [&self.resource, &self.resource_type, &self.path].iter().all(|pattern| *pattern == "*")
    }

    pub(super) fn matches(&self, resource: &str, resource_type: &str, path: &str) -> bool {
        let below = || {
            path.char_indices()
                .filter(|(_, c)| matches!(c, '.' | '['))
                .any(|(at, _)| glob(&self.path, &path[..at]))
        };
        glob(&self.resource, resource)
            && glob(&self.resource_type, resource_type)
            && (glob(&self.path, path) || below())
    }
}

/// Whether text is as a pattern says, in which `*` stands for any text.
#[must_use]
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("*", ""),
            ("a*", "abc"),
            ("*c", "abc"),
            ("a*c", "ac"),
            ("a*b*c", "axbyc"),
            ("abc", "abc"),
        ] {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("a", "ab"), ("a*c", "ab"), ("ab*ba", "aba"), ("*b", "abc")]
        {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_path_covers_what_is_below() {
        let rule =
            Ignore { resource: any(), resource_type: "aws_*".to_owned(), path: "tags".to_owned() };
        assert!(rule.matches("i-1", "aws_instance", "tags.owner"));
        assert!(rule.matches("i-1", "aws_instance", "tags"));
        assert!(!rule.matches("i-1", "aws_instance", "tags_all.owner"));
        assert!(!rule.matches("web", "deployments.apps", "tags.owner"));
    }
}
