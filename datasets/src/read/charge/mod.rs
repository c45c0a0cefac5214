//! Charges: rows of a bill to [`cost::schema`].
//!
//! A bill's format is a [`Plan`]: which of the file's columns each of ours is taken from. Text is
//! decoded record by record (`decode`); Parquet column by column (`columnar`), and record by record
//! where a batch holds anything that is not plainly good, so that both give the same rows and the same
//! rejects.

use cloudops_operators::schema::cost;
use cloudops_operators::schema::focus::{CHARGE_PERIOD_END, CHARGE_PERIOD_START, DETAILS};
use serde::{Deserialize, Serialize};

use super::format::{Encoding, Format};
use super::record::{Naming, Want};
use super::time::TimeFormat;

mod collect;
mod columnar;
mod decode;
mod detail;
pub(super) mod focus;
mod native;

pub(super) use columnar::open as open_parquet;
pub(super) use decode::Charges;
pub use native::Export;
pub(super) use native::{Native, Provider};

/// Where a table of charges keeps what; the names are the file's, letter by letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChargeMapping {
    /// The account that is charged: a column, or `{ value = "…" }` where it is always the same.
    pub account: From,
    /// Who provides the service.
    pub provider: From,
    /// The service.
    pub service: From,
    /// ISO 4217, as `{ value = "USD" }` where it is always the same.
    pub currency: From,
    /// Column of the day, or the instant, at which the charge's period begins.
    pub start: String,
    /// Column of its exclusive end; default: a day after its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Column of the instant at which the row became known; default: its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// How these times are written; default `auto`.
    #[serde(default)]
    pub time_format: TimeFormat,
    /// Column of the cost with discounts and commitments spread over their use.
    pub effective_cost: String,
    /// Column of the cost as invoiced; default: the effective one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billed_cost: Option<String>,
    /// Who is invoiced; default: the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_account: Option<From>,
    /// What kind of service it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_category: Option<From>,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<From>,
    /// The resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<From>,
    /// `Usage`, `Purchase`, `Tax`, `Credit` or `Adjustment`; default: `Usage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge_category: Option<From>,
    /// `Correction` where the row corrects a closed period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge_class: Option<From>,
    /// The invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<From>,
    /// A JSON object of tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<From>,
    /// Which line of the bill a row states.
    #[serde(flatten)]
    pub identity: Identity,
    /// Layout; by file name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Between fields of delimited text; default `,`.
    #[serde(default = "super::format::comma")]
    pub delimiter: char,
    /// Whether rows come with FOCUS's other columns; see [`Format::with_lines`].
    #[serde(skip)]
    pub lines: bool,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum From {
    /// A column.
    Column(String),
    /// The same in every row.
    Value {
        /// What it is.
        value: String,
    },
}

/// Which line of the bill a row states: a later row of the same line replaces it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// The columns that say so, within an account and month; default: none, and rows add up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub line: Vec<String>,
    /// Column of a whole number: of two rows of a line the greater holds. Default: the one with the
    /// greater amount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The plan of a format of charges.
///
/// # Errors
/// [`crate::Error::Configuration`] when it is another format.
pub(super) fn plan(format: &Format) -> crate::Result<Plan> {
    match format {
        Format::Charges { mapping } => Ok(Plan::mapped(mapping)),
        Format::Focus { known, line, version, lines, .. } => {
            let identity = Identity { line: line.clone(), version: version.clone() };
            Ok(focus::plan(&identity, known.as_deref(), *lines))
        }
        _ => Err(crate::Error::Configuration("not a format of charges".to_owned())),
    }
}

/// Whose export a format is.
///
/// # Errors
/// [`crate::Error::Configuration`] when it is another format.
pub(super) fn provider(format: &Format) -> crate::Result<Provider> {
    match format {
        Format::AwsCur(_) => Ok(Provider::Aws),
        Format::AzureCost(_) => Ok(Provider::Azure { amortised: false }),
        Format::AzureAmortisedCost(_) => Ok(Provider::Azure { amortised: true }),
        Format::GcpBilling(_) => Ok(Provider::Gcp),
        Format::OciCost(_) => Ok(Provider::Oci),
        _ => Err(crate::Error::Configuration("not a provider's export".to_owned())),
    }
}

/// Our columns of text, by place.
pub(super) const LABELS: [&str; 12] = [
    cloudops_operators::schema::ENTITY_ID,
    cost::PROVIDER,
    cost::BILLING_ACCOUNT,
    cost::SERVICE,
    cost::SERVICE_CATEGORY,
    cost::REGION,
    cost::RESOURCE,
    cost::CHARGE_CATEGORY,
    cost::CHARGE_CLASS,
    cost::INVOICE,
    cost::CURRENCY,
    cost::TAGS,
];
const CHARGE_CATEGORY: usize = 7;
const CHARGE_CLASS: usize = 8;

/// FOCUS's values of `ChargeCategory`.
const CATEGORIES: [&str; 5] = ["Usage", "Purchase", "Tax", "Credit", "Adjustment"];

/// Where a label is taken from.
#[derive(Debug, Clone, Default)]
struct Label {
    /// Columns, by place among those asked for: the first that holds anything counts.
    columns: Vec<usize>,
    /// What it is where none does.
    otherwise: Option<String>,
    /// The name under which a missing one is reported; none where it may be missing.
    required: Option<String>,
}

/// How a format's columns become ours.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) naming: Naming,
    pub(super) wants: Vec<Want>,
    labels: [Label; 12],
    start: usize,
    end: Option<usize>,
    known: Option<usize>,
    time_format: TimeFormat,
    billed: usize,
    effective: usize,
    line: Vec<usize>,
    version: Option<usize>,
    /// By place in [`DETAILS`], which column gives it; empty where rows are not kept.
    details: Vec<Option<usize>>,
}

impl Plan {
    fn name(&self, column: usize) -> &str {
        &self.wants[column].name
    }

    /// The plan of a mapping.
    pub(super) fn mapped(mapping: &ChargeMapping) -> Self {
        let mut wants = Wants::default();
        let effective = wants.required(&mapping.effective_cost);
        let billed = mapping.billed_cost.as_ref().map_or(effective, |name| wants.required(name));
        let mut label = |from: Option<&From>, required: bool| match from {
            Some(From::Column(name)) if required => Label {
                columns: vec![wants.required(name)],
                otherwise: None,
                required: Some(name.clone()),
            },
            Some(From::Column(name)) => {
                Label { columns: vec![wants.required(name)], ..Label::default() }
            }
            Some(From::Value { value }) => {
                Label { otherwise: Some(value.clone()), ..Label::default() }
            }
            None => Label::default(),
        };
        let usage = From::Value { value: "Usage".to_owned() };
        let labels = [
            label(Some(&mapping.account), true),
            label(Some(&mapping.provider), true),
            label(Some(mapping.billing_account.as_ref().unwrap_or(&mapping.account)), true),
            label(Some(&mapping.service), true),
            label(mapping.service_category.as_ref(), false),
            label(mapping.region.as_ref(), false),
            label(mapping.resource.as_ref(), false),
            label(Some(mapping.charge_category.as_ref().unwrap_or(&usage)), true),
            label(mapping.charge_class.as_ref(), false),
            label(mapping.invoice.as_ref(), false),
            label(Some(&mapping.currency), true),
            label(mapping.tags.as_ref(), false),
        ];
        let start = wants.required(&mapping.start);
        let end = mapping.end.as_ref().map(|name| wants.required(name));
        let detail = |name| match name {
            CHARGE_PERIOD_START => Some(start),
            CHARGE_PERIOD_END => end,
            _ => None,
        };
        let details =
            DETAILS.iter().filter(|_| mapping.lines).map(|detail_of| detail(detail_of.name));
        Self {
            naming: Naming::Exact,
            labels,
            start,
            end,
            details: details.collect(),
            known: mapping.known.as_ref().map(|name| wants.required(name)),
            time_format: mapping.time_format.clone(),
            billed,
            effective,
            line: mapping.identity.line.iter().map(|name| wants.required(name)).collect(),
            version: mapping.identity.version.as_ref().map(|name| wants.required(name)),
            wants: wants.0,
        }
    }
}

/// The columns asked for, each once.
#[derive(Default)]
struct Wants(Vec<Want>);

impl Wants {
    fn required(&mut self, name: &str) -> usize {
        self.want(Want::required(name))
    }

    fn optional(&mut self, name: &str) -> usize {
        self.want(Want::optional(name))
    }

    fn want(&mut self, want: Want) -> usize {
        match self.0.iter().position(|known| known.name == want.name) {
            Some(at) => {
                self.0[at].required |= want.required;
                at
            }
            None => {
                self.0.push(want);
                self.0.len() - 1
            }
        }
    }
}
