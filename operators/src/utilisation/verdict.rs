//! From what a model says and what speaks against it to a verdict: may this resource be terminated?
//!
//! The model's probability must reach a limit, chosen with the model; and no evidence of use may stand
//! against it, as far as a [`Policy`] listens to evidence. Both sides are told: a resource that the model
//! names and evidence keeps is worth a look, by whoever knows what it is for.

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;

/// Which evidence of use keeps a resource from being proposed for termination, whatever its score.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Policy {
    /// None: the probability decides.
    #[serde(rename = "score")]
    Score,
    /// What the features do not hold ([`Evidence::is_in_features`]); the rest is left to the model.
    #[serde(rename = "unseen")]
    Unseen,
    /// Any. The default: of resources in use it named none in any simulated fleet.
    #[default]
    #[serde(rename = "evidence")]
    Any,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Score, Self::Unseen, Self::Any];

    /// The name in tables and settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Unseen => "unseen",
            Self::Any => "evidence",
        }
    }

    /// Whether a resource with this evidence is never proposed.
    #[must_use]
    pub fn holds_back(self, evidence: &[Evidence]) -> bool {
        evidence.iter().any(|evidence| self.listens_to(*evidence))
    }

    /// Whether a piece of evidence counts.
    fn listens_to(self, evidence: Evidence) -> bool {
        match self {
            Self::Score => false,
            Self::Unseen => !evidence.is_in_features(),
            Self::Any => true,
        }
    }
}

/// Whether a resource may be terminated, and what that rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The model says so, and nothing that counts speaks against it.
    pub is_zombie: bool,
    /// Its probability reaches the limit.
    pub model_says: bool,
    /// The evidence that counts, in the order it was given: each piece alone keeps the resource. It is told
    /// of resources that the model does not name as well.
    pub guarded_by: Vec<Evidence>,
}

impl Verdict {
    /// The verdict on a resource of this probability, with all that was found against its termination
    /// ([`super::evidence::against_termination`]).
    ///
    /// `limit` is the one that was chosen for this policy. A probability that is not a number names nothing.
    #[must_use]
    pub fn of(probability: f64, limit: f64, policy: Policy, evidence: &[Evidence]) -> Self {
        let counts = evidence.iter().copied().filter(|evidence| policy.listens_to(*evidence));
        let guarded_by: Vec<Evidence> = counts.collect();
        let model_says = probability >= limit;
        Self { is_zombie: model_says && guarded_by.is_empty(), model_says, guarded_by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: Policy, probability: f64, evidence: &[Evidence], expected: (bool, bool)) {
        let found = Verdict::of(probability, 0.8, policy, evidence);
        assert_eq!((found.is_zombie, found.model_says), expected, "{policy:?} {evidence:?}");
        assert_eq!(found.guarded_by.is_empty(), !policy.holds_back(evidence));
        assert!(found.guarded_by.iter().all(|guard| evidence.contains(guard)));
    }

    #[test]
    fn a_zombie_is_named_by_the_model_and_kept_by_nothing() {
        use Evidence::{Connections, ConnectionsUnknown, RecentWork};
        for policy in Policy::ALL {
            check(policy, 0.8, &[], (true, true));
            check(policy, 0.79, &[], (false, false));
            check(policy, f64::NAN, &[], (false, false));
            check(policy, 0.1, &[Connections], (false, false));
        }
        check(Policy::Score, 0.9, &[Connections, RecentWork], (true, true));
        check(Policy::Unseen, 0.9, &[Connections], (true, true));
        check(Policy::Unseen, 0.9, &[Connections, RecentWork], (false, true));
        check(Policy::Any, 0.9, &[Connections], (false, true));
        check(Policy::Any, 0.9, &[ConnectionsUnknown], (false, true));
        let found = Verdict::of(0.9, 0.8, Policy::Unseen, &[Connections, RecentWork]);
        assert_eq!(found.guarded_by, [RecentWork]);
    }

    #[test]
    fn a_policy_is_written_by_its_name() {
        for policy in Policy::ALL {
            let text = serde_json::to_string(&policy).unwrap();
            assert_eq!(text, format!("\"{}\"", policy.name()));
            assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
        }
    }
}
