//! A resource at a moment: what is known of it by then, and what became of it.

use cloudops_operators::utilisation::evidence::{Evidence, EvidenceConfig, against_termination};
use cloudops_operators::utilisation::rule::{Verdict, verdict};
use cloudops_operators::utilisation::{FEATURES, LOOKBACK_DAYS, Rows, features};

use crate::Result;
use crate::learn::forest::Table;

/// Resources as rows, each with its truth.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ZombieSamples {
    values: Vec<f32>,
    /// Whether a row is positive.
    pub labels: Vec<bool>,
    /// Rows of one resource have one group.
    pub groups: Vec<u32>,
    /// What the rules say of the last fourteen days.
    pub verdicts: Vec<Verdict>,
    /// What speaks against termination.
    pub evidence: Vec<Vec<Evidence>>,
}

impl ZombieSamples {
    /// Adds a resource, known by these rows and nothing else; passes over one of which no day of the
    /// last fourteen is known. Returns whether it was added.
    pub fn push(&mut self, known: &Rows<'_>, label: bool, group: u32) -> bool {
        let Some(verdict) = verdict(known) else { return false };
        let vector = features(&known.last_days(LOOKBACK_DAYS));
        self.values.extend(vector.iter().map(|value| *value as f32));
        self.labels.push(label);
        self.groups.push(group);
        self.verdicts.push(verdict);
        self.evidence.push(against_termination(known, &EvidenceConfig::default()));
        true
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The features.
    ///
    /// # Errors
    /// [`crate::Error::Data`] when one is infinite.
    pub fn table(&self) -> Result<Table> {
        Table::new(FEATURES.map(str::to_owned).to_vec(), self.values.clone())
    }
}
