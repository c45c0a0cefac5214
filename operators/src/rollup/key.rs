//! What costs are rolled up by.

use std::fmt;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type, UInt32Type, UInt64Type};
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use super::{Note, Sums, Update};
use crate::bill::{
    BILLED_AFTER, BILLED_BEFORE, CHARGES_AFTER, CHARGES_BEFORE, Dimension, EFFECTIVE_AFTER,
    EFFECTIVE_BEFORE, RECORDS, first_of_month,
};
use crate::schema::cost::{BILLING_ACCOUNT, CURRENCY, DAY, KNOWN_ON, PROVIDER, SERVICE, TAGS};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::schema::{ENTITY_ID, column, texts};
use crate::{Error, Result};

/// By what one roll-up adds costs up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum By {
    /// The sub-account.
    Account,
    /// FOCUS `ProviderName`.
    Provider,
    /// FOCUS `BillingAccountId`.
    BillingAccount,
    /// FOCUS `ServiceName`.
    Service,
    /// A dimension that totals are told apart by.
    Dimension(Dimension),
}

impl TryFrom<String> for By {
    type Error = String;

    fn try_from(name: String) -> std::result::Result<Self, String> {
        Ok(match name.as_str() {
            "account" => Self::Account,
            PROVIDER => Self::Provider,
            BILLING_ACCOUNT => Self::BillingAccount,
            SERVICE => Self::Service,
            _ => Self::Dimension(Dimension::try_from(name).map_err(|error| {
                error.replace("write ", "write account, provider, billing_account, service, ")
            })?),
        })
    }
}

impl From<By> for String {
    fn from(by: By) -> Self {
        by.to_string()
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account => f.write_str("account"),
            Self::Provider => f.write_str(PROVIDER),
            Self::BillingAccount => f.write_str(BILLING_ACCOUNT),
            Self::Service => f.write_str(SERVICE),
            Self::Dimension(dimension) => f.write_str(&String::from(dimension.clone())),
        }
    }
}

/// How long a roll-up's periods are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Period {
    Day,
    Month,
}

impl Period {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// What one rolled-up total is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Key {
    /// Which of the roll-ups, by place.
    pub(super) by: u16,
    pub(super) period: Period,
    /// The period's first day, since 1970-01-01.
    pub(super) start: i32,
    /// `None` where charges name none.
    pub(super) name: Option<Box<str>>,
    pub(super) currency: Box<str>,
}

/// Reads roll-ups' updates off changes of totals.
pub(super) fn updates(changes: &RecordBatch, rollups: &[By], epoch: u64) -> Result<Vec<Update>> {
    let money = |name| Ok::<_, Error>(column(changes, name)?.as_primitive::<Decimal128Type>());
    let number = |name| Ok::<_, Error>(column(changes, name)?.as_primitive::<Int64Type>());
    let day = |name| Ok::<_, Error>(column(changes, name)?.as_primitive::<Date32Type>());
    let offset = |name| Ok::<_, Error>(column(changes, name)?.as_primitive::<UInt64Type>());
    let (billed_before, billed_after) = (money(BILLED_BEFORE)?, money(BILLED_AFTER)?);
    let (effective_before, effective_after) = (money(EFFECTIVE_BEFORE)?, money(EFFECTIVE_AFTER)?);
    let (charges_before, charges_after) = (number(CHARGES_BEFORE)?, number(CHARGES_AFTER)?);
    let (records, days, known_on) = (number(RECORDS)?, day(DAY)?, day(KNOWN_ON)?);
    let (from, to) = (offset(OFFSET_FROM)?, offset(OFFSET_TO)?);
    let partitions = column(changes, PARTITION)?.as_primitive::<UInt32Type>();
    let currencies = texts(changes, CURRENCY)?;
    let names = rollups.iter().map(|by| Names::of(changes, by)).collect::<Result<Vec<_>>>()?;
    let mut updates = Vec::with_capacity(changes.num_rows() * rollups.len() * 2);
    for row in 0..changes.num_rows() {
        let sums = Sums {
            billed: billed_after.value(row) - billed_before.value(row),
            effective: effective_after.value(row) - effective_before.value(row),
            charges: charges_after.value(row) - charges_before.value(row),
            records: records.value(row),
        };
        let note =
            Note { partition: partitions.value(row), from: from.value(row), to: to.value(row) };
        let moment = Moment { epoch, day: known_on.value(row) };
        let start = days.value(row);
        for (by, names) in names.iter().enumerate() {
            let name = names.get(row);
            for (period, start) in [(Period::Day, start), (Period::Month, first_of_month(start))] {
                let key = Key {
                    by: by as u16,
                    period,
                    start,
                    name: name.clone(),
                    currency: currencies.value(row).into(),
                };
                updates.push(Update { key, moment, sums, note });
            }
        }
    }
    Ok(updates)
}

/// The names that costs are added up by.
pub(crate) enum Names<'a> {
    Column(&'a StringArray),
    /// One tag of an object of tags.
    Tag(&'a StringArray, &'a str),
}

impl<'a> Names<'a> {
    pub(crate) fn of(changes: &'a RecordBatch, by: &'a By) -> Result<Self> {
        if let By::Dimension(Dimension::Tag(tag)) = by {
            return Ok(Self::Tag(texts(changes, TAGS)?, tag));
        }
        let name = by.to_string();
        texts(changes, if *by == By::Account { ENTITY_ID } else { &name }).map(Self::Column)
    }

    /// Whose a row is; `None` where it names none.
    pub(crate) fn get(&self, row: usize) -> Option<Box<str>> {
        match self {
            Self::Column(names) => names.is_valid(row).then(|| names.value(row).into()),
            Self::Tag(tags, tag) => {
                let tags = tags.is_valid(row).then(|| tags.value(row))?;
                let tags: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_str(tags).ok()?;
                Some(match tags.get(*tag)? {
                    serde_json::Value::Null => return None,
                    serde_json::Value::String(text) => text.as_str().into(),
                    other => other.to_string().into(),
                })
            }
        }
    }
}
