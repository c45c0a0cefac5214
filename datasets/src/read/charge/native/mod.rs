//! Providers' own billing exports, mapped to FOCUS row by row.
//!
//! One provider, one file: which columns its exports have under which names, and what a row of them is
//! in FOCUS. Names are compared by their letters and digits alone, so that `lineItem/UnblendedCost` and
//! `line_item_unblended_cost` are one. What cannot be mapped is a reject that names column and value.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use arrow::array::RecordBatch;
use cloudops_operators::key::digest;
use cloudops_operators::schema::cost;
use cloudops_operators::schema::focus::DETAILS;
use serde::{Deserialize, Serialize};

use super::super::decimal;
use super::super::decode::Decode;
use super::super::format::Encoding;
use super::super::record::{Cells, Fault, Want};
use super::collect::{Charge, Collected, Value};
use crate::Result;

mod aws;
mod azure;
mod gcp;
mod oci;
mod row;

use row::{Row, instant, object, plus, times};

/// How a provider's export is read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Export {
    /// Layout; by file name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Column of the instant at which a row became known; default: the charge's beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// Columns that say which line of the bill a row states, so that a later row replaces it;
    /// default: none, and rows add up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub line: Vec<String>,
    /// Column of a line's version; see [`super::Identity`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether rows come with FOCUS's other columns; see [`crate::Format::with_lines`].
    #[serde(skip)]
    pub lines: bool,
}

/// Whose export it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::read) enum Provider {
    /// Amazon's cost and usage report, legacy and 2.0.
    Aws,
    /// Microsoft's cost details, as invoiced or amortised.
    Azure { amortised: bool },
    /// Google's export to BigQuery, standard or detailed.
    Gcp,
    /// Oracle's cost report.
    Oci,
}

/// A provider's columns: for each its names, of which the first that holds anything counts.
type Names = &'static [&'static [&'static str]];

impl Provider {
    fn names(self) -> Names {
        match self {
            Self::Aws => aws::NAMES,
            Self::Azure { .. } => azure::NAMES,
            Self::Gcp => gcp::NAMES,
            Self::Oci => oci::NAMES,
        }
    }

    /// Names without which a file is not such an export.
    fn required(self) -> &'static [&'static str] {
        match self {
            Self::Aws => aws::REQUIRED,
            Self::Azure { .. } => azure::REQUIRED,
            Self::Gcp => gcp::REQUIRED,
            Self::Oci => oci::REQUIRED,
        }
    }

    /// What the names of columns begin with that hold a tag each.
    pub(in crate::read) fn tags(self) -> Option<&'static str> {
        match self {
            Self::Aws => Some(aws::TAGS),
            Self::Oci => Some(oci::TAGS),
            Self::Azure { .. } | Self::Gcp => None,
        }
    }

    fn map<'a>(self, row: &Row<'a>) -> Result<Mapped<'a>, Fault> {
        match self {
            Self::Aws => aws::map(row),
            Self::Azure { amortised } => azure::map(row, amortised),
            Self::Gcp => gcp::map(row),
            Self::Oci => oci::map(row),
        }
    }
}

/// Declares a provider's columns: what each is called here, and by the provider.
macro_rules! columns {
    ($($column:ident = $($name:literal)|+,)+) => {
        #[derive(Debug, Clone, Copy)]
        enum Column { $($column,)+ }
        pub(super) const NAMES: super::Names = &[$(&[$($name,)+],)+];
        impl From<Column> for usize {
            fn from(column: Column) -> Self {
                column as Self
            }
        }
    };
}
use columns;

/// A row in FOCUS's terms.
#[derive(Debug, Default)]
struct Mapped<'a> {
    account: Option<Cow<'a, str>>,
    provider: &'static str,
    billing_account: Option<Cow<'a, str>>,
    service: Option<Cow<'a, str>>,
    service_category: Option<&'a str>,
    region: Option<Cow<'a, str>>,
    resource: Option<Cow<'a, str>>,
    category: &'static str,
    correction: bool,
    invoice: Option<&'a str>,
    currency: Option<&'a str>,
    tags: Option<Cow<'a, str>>,
    start: i64,
    end: Option<i64>,
    billed: i128,
    effective: i128,
    /// By FOCUS's name; not asked for where rows are not kept.
    details: Vec<(&'static str, Said<'a>)>,
}

/// What a row says of a detail.
#[derive(Debug)]
enum Said<'a> {
    Text(Option<Cow<'a, str>>),
    Amount(Option<i128>),
    Instant(Option<i64>),
}

/// A text of the row itself.
fn text<'a>(text: Option<&'a str>) -> Said<'a> {
    Said::Text(text.map(Cow::Borrowed))
}

/// Decodes a provider's export.
pub(in crate::read) struct Native {
    provider: Provider,
    wants: Vec<Want>,
    columns: Vec<Range<usize>>,
    tags: Vec<(usize, String)>,
    known: Option<usize>,
    line: Vec<usize>,
    version: Option<usize>,
    lines: bool,
    /// Where FOCUS's names stand in [`DETAILS`].
    places: HashMap<&'static str, usize>,
    collected: Collected,
}

impl Native {
    pub(in crate::read) fn new(provider: Provider, export: &Export) -> Self {
        let mut wants = Vec::new();
        let mut columns = Vec::new();
        for names in provider.names() {
            let from = wants.len();
            let required = provider.required();
            wants.extend(names.iter().map(|name| match required.contains(name) {
                true => Want::required(*name),
                false => Want::optional(*name),
            }));
            columns.push(from..wants.len());
        }
        let mut want = |name: &String| {
            wants.push(Want::required(name));
            wants.len() - 1
        };
        let known = export.known.as_ref().map(&mut want);
        let line = export.line.iter().map(&mut want).collect();
        let version = export.version.as_ref().map(want);
        let places = DETAILS.iter().enumerate().map(|(place, detail)| (detail.focus, place));
        Self {
            provider,
            wants,
            columns,
            tags: Vec::new(),
            known,
            line,
            version,
            lines: export.lines,
            places: places.collect(),
            collected: Collected::new(export.lines),
        }
    }

    pub(in crate::read) fn wants(&self) -> &[Want] {
        &self.wants
    }

    /// Says which columns behind those asked for hold a tag each.
    pub(in crate::read) fn with_tags(mut self, names: Vec<String>) -> Self {
        let first = self.wants.len();
        self.tags = (first..).zip(names).collect();
        self
    }
}

impl Decode for Native {
    fn decode(&mut self, _ordinal: u64, offset: u64, cells: &Cells<'_>) -> Result<(), Fault> {
        let row = Row {
            cells,
            wants: &self.wants,
            columns: &self.columns,
            tags: &self.tags,
            lines: self.lines,
        };
        let mapped = self.provider.map(&row)?;
        let fault = |at: usize| {
            let name = self.wants[at].name.clone();
            move |reason: String| Fault::field(name, reason)
        };
        let need = |at: usize| row.cell(at).ok_or_else(|| fault(at)("missing".to_owned()));
        if mapped.end.is_some_and(|end| end < mapped.start) {
            return Err(Fault::of("the charge's period ends before it begins"));
        }
        let known = match self.known {
            None => mapped.start,
            Some(at) => instant(need(at)?).map_err(fault(at))?,
        };
        let version = match self.version {
            None => 0,
            Some(at) => {
                let whole = decimal::parse(need(at)?).and_then(decimal::Decimal::whole);
                whole.ok_or_else(|| fault(at)("not a whole number".to_owned()))?
            }
        };
        let line = match self.line.as_slice() {
            [] => None,
            columns => {
                let parts = columns.iter().map(|at| need(*at).map(str::as_bytes));
                Some(digest(parts.collect::<Result<Vec<_>, _>>()?))
            }
        };
        let mut details = Vec::new();
        if self.lines {
            details = vec![Value::None; DETAILS.len()];
            for (name, said) in &mapped.details {
                let value = match said {
                    Said::Text(text) => text.as_deref().map(Value::Text),
                    Said::Amount(amount) => amount.map(Value::Amount),
                    Said::Instant(us) => us.map(Value::Instant),
                };
                if let (Some(place), Some(value)) = (self.places.get(name), value) {
                    details[*place] = value;
                }
            }
        }
        let must = |text: &Option<Cow<'_, str>>, what: &str| match text {
            Some(_) => Ok(()),
            None => Err(Fault::of(format!("the row names no {what}"))),
        };
        must(&mapped.account, "account")?;
        must(&mapped.billing_account, "billing account")?;
        must(&mapped.service, "service")?;
        if mapped.currency.is_none() {
            return Err(Fault::of("the row names no currency"));
        }
        let charge = Charge {
            labels: [
                mapped.account.as_deref(),
                Some(mapped.provider),
                mapped.billing_account.as_deref(),
                mapped.service.as_deref(),
                mapped.service_category,
                mapped.region.as_deref(),
                mapped.resource.as_deref(),
                Some(mapped.category),
                mapped.correction.then_some("Correction"),
                mapped.invoice,
                mapped.currency,
                mapped.tags.as_deref(),
            ],
            start: mapped.start,
            known,
            billed: mapped.billed,
            effective: mapped.effective,
            line,
            version,
            details,
        };
        self.collected.push(offset, &charge);
        Ok(())
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        self.collected.finish()
    }
}

/// The beginning of the day after an instant's.
fn next_day(us: i64) -> i64 {
    (i64::from(cost::day_of(us)) + 1) * cost::DAY_US
}
