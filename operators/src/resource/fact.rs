//! What one record says of one resource: what bills, telemetry, audit events and declarations have in common.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::right_size::Sold;
use crate::schema::cost::day_of;
use crate::schema::{ENTITY_ID, OFFSET, TS, texts, timestamp};
use crate::{Error, Result};

/// The column that holds a fact; `Utf8`, JSON.
const FACT: &str = "fact";

/// Which records said it; of a total that rests on several partitions those of the first.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Cause {
    /// The stream.
    pub(super) source: String,
    /// Its partition.
    pub(super) partition: u32,
    /// The first record.
    pub(super) from: u64,
    /// The last one.
    pub(super) to: u64,
}

impl Cause {
    /// With another's records: those of the first stream and partition, whatever the order in which one
    /// hears of them.
    pub(super) fn merge(&mut self, other: &Self) {
        match (&other.source, other.partition).cmp(&(&self.source, self.partition)) {
            std::cmp::Ordering::Less => self.clone_from(other),
            std::cmp::Ordering::Equal => {
                self.from = self.from.min(other.from);
                self.to = self.to.max(other.to);
            }
            std::cmp::Ordering::Greater => {}
        }
    }
}

/// Money in units of 10⁻¹², written as text: JSON's numbers do not hold it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Money(pub(super) i128);

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// Who did what to a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Deed {
    /// Event time, µs.
    pub(super) at: i64,
    /// Who.
    pub(super) principal: String,
    /// What they called.
    pub(super) operation: String,
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// A bill's total of it changed.
    Charged {
        /// ISO 4217.
        currency: String,
        /// The calendar month that is charged, counted from year 0.
        month: i32,
        /// How much it is more, or less.
        amount: Money,
        /// Tags that totals are told apart by, a JSON object.
        tags: Option<String>,
    },
    /// Operations were called on it; all that one day's events of a partition say of that.
    Touched {
        /// When the first was, µs.
        first: i64,
        /// When the last was.
        last: i64,
        /// When it was last used for what it is there for.
        used: Option<i64>,
        /// What last changed it.
        changed: Option<Deed>,
        /// What a person last did.
        by_human: Option<Deed>,
    },
    /// It was joined to another resource, which it needs.
    Joined(String),
    /// It was parted from one.
    Parted(String),
    /// A document declares it so.
    Declared(Described),
    /// Its scope declares it no longer.
    Undeclared {
        /// The scope.
        scope: String,
    },
    /// It was seen to be so.
    Observed(Described),
    /// Some attributes changed: a patch, as JSON.
    Changed {
        /// What becomes of them.
        patch: String,
    },
    /// It is no more.
    Gone,
    /// Its bill says of what size it is, and on which terms.
    Sold {
        /// The day that is charged.
        day: i32,
        /// What is sold.
        sold: Sold,
        /// Whether a commitment covers it.
        committed: bool,
    },
}

/// Attributes that are kept of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Described {
    /// The document's scope.
    pub(super) scope: String,
    /// What the document calls it.
    pub(super) name: Option<String>,
    /// By path.
    pub(super) attributes: std::collections::BTreeMap<String, String>,
    /// Ids of resources that its attributes name.
    pub(super) needs: Vec<String>,
}

/// What a record says of what a resource is; what it does not know, it leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Identity {
    /// `aws`, `azure`, `gcp`, `kubernetes`, or as the bill has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) provider: Option<String>,
    /// Terraform's type, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resource_type: Option<String>,
    /// Account, subscription or project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<String>,
    /// Region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<String>,
    /// The bill's name of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<String>,
}

/// What one record says of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fact {
    /// The resource's id, [`super::id`].
    #[serde(skip)]
    pub(super) resource: String,
    /// Event time, µs; of charges the beginning of the day on which they became known, of what is told of
    /// a day's calls together the beginning of that day.
    pub(super) at: i64,
    /// What it says.
    pub(super) what: What,
    /// What the resource is.
    pub(super) identity: Identity,
    /// Which record says so.
    pub(super) cause: Cause,
}

impl Fact {
    /// The day at whose end it is taken up.
    pub(super) fn day(&self) -> i32 {
        day_of(self.at)
    }

    /// The order in which a day's facts are taken up: by event time; of one instant what is declared before
    /// what is observed; else as they stood. What bills and calls say is put in order by what it says:
    /// records are told together, and how many of them depends on the cut.
    pub(super) fn place(&self) -> impl Ord + '_ {
        let is_declared = matches!(self.what, What::Declared(_) | What::Undeclared { .. });
        let Cause { source, partition, from, .. } = &self.cause;
        let (content, stood) = match &self.what {
            What::Charged { currency, month, tags, .. } => {
                (Some((currency.as_str(), *month, tags.as_deref(), &self.identity)), None)
            }
            What::Sold { .. } | What::Touched { .. } => (Some(("", 0, None, &self.identity)), None),
            _ => (None, Some((*partition, *from))),
        };
        (self.at, !is_declared, source, stood, content)
    }
}

/// Facts as rows; none of none.
pub(super) fn rows(facts: &[Fact]) -> Result<Option<RecordBatch>> {
    if facts.is_empty() {
        return Ok(None);
    }
    let text = |name| Field::new(name, DataType::Utf8, false);
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        text(ENTITY_ID),
        Field::new(TS, timestamp(), false),
        Field::new(OFFSET, DataType::UInt64, false),
        text(FACT),
    ]));
    let times = TimestampMicrosecondArray::from_iter_values(facts.iter().map(|fact| fact.at));
    let bodies = facts.iter().map(|fact| {
        serde_json::to_string(fact).expect("a fact is text, numbers and maps with text keys")
    });
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(facts.iter().map(|fact| &fact.resource))),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(UInt64Array::from_iter_values(facts.iter().map(|fact| fact.cause.from))),
        Arc::new(StringArray::from_iter_values(bodies)),
    ];
    Ok(Some(RecordBatch::try_new(schema, columns)?))
}

/// Whether rows are facts.
pub(super) fn is_facts(rows: &RecordBatch) -> bool {
    rows.column_by_name(FACT).is_some()
}

/// Rows as facts.
///
/// # Errors
/// [`Error::Column`] when they are none.
pub(super) fn facts(rows: &RecordBatch) -> Result<Vec<Fact>> {
    let (resources, bodies) = (texts(rows, ENTITY_ID)?, texts(rows, FACT)?);
    (0..rows.num_rows())
        .map(|row| {
            let fact: Fact =
                serde_json::from_str(bodies.value(row)).map_err(|error| Error::Column {
                    column: FACT.to_owned(),
                    expected: "a fact of a resource".to_owned(),
                    found: error.to_string(),
                })?;
            Ok(Fact { resource: resources.value(row).to_owned(), ..fact })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_rows_and_back() {
        let cause = Cause { source: "bill".to_owned(), partition: 3, from: 1, to: 9 };
        let identity = Identity { region: Some("eu".to_owned()), ..Identity::default() };
        let charged = What::Charged {
            currency: "USD".to_owned(),
            month: 24_301,
            amount: Money(-i128::from(u64::MAX) * 7),
            tags: None,
        };
        let of = |what| Fact {
            resource: "i-1".to_owned(),
            at: 5,
            what,
            identity: identity.clone(),
            cause: cause.clone(),
        };
        let all = [charged, What::Gone, What::Joined("vol-1".to_owned())].map(of);
        let batch = rows(&all).unwrap().unwrap();
        assert!(is_facts(&batch));
        assert_eq!(facts(&batch).unwrap(), all);
        assert_eq!(rows(&[]).unwrap(), None);
    }
}
