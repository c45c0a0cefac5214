//! `cost_lines`: the rows of a bill as they were stated.
//!
//! Rows are only ever added: one that states a line anew stands beside those before it. The view
//! `focus` keeps those that hold now, under FOCUS's own names.

use cloudops_operators::bill;
use cloudops_operators::schema::cost;
use cloudops_operators::schema::focus::{DETAILS, Detail, Holds};

use super::{Column, ENTITY, Kind, Table, Type, optional, required};

pub(super) const TABLE: Table = Table {
    name: "cost_lines",
    description: "row of a bill as it was stated, where bill.lines asks for rows; those that hold now \
                  are in focus",
    kind: Kind::Result,
    own: &COLUMNS,
    sort: &["source", "entity_id", "day", "partition", "offset_from"],
    statistics: &["source", "entity_id", "day", "service", "known_on"],
};

/// What the ledger knows of a row.
const LEDGER: [Column; 19] = [
    ENTITY,
    required(cost::DAY, Type::Day, "day on which the charge's period begins, UTC"),
    required(
        cost::KNOWN_ON,
        Type::Day,
        "day on which the row became known: the greatest event time of the partition till then",
    ),
    optional(
        cost::LINE,
        Type::Bytes,
        "digest of the columns that say which line of the account's month the row states",
    ),
    required(cost::VERSION, Type::I64, "of two rows of a line the greater version holds"),
    optional(
        bill::RANK,
        Type::Bytes,
        "what decides between two rows of a line of one version and the same amounts",
    ),
    required(cost::PROVIDER, Type::Text, "FOCUS ServiceProviderName, ProviderName before 1.3"),
    required(cost::BILLING_ACCOUNT, Type::Text, "FOCUS BillingAccountId"),
    required(cost::SERVICE, Type::Text, "FOCUS ServiceName"),
    optional(cost::SERVICE_CATEGORY, Type::Text, "FOCUS ServiceCategory"),
    optional(cost::REGION, Type::Text, "FOCUS RegionId"),
    optional(cost::RESOURCE, Type::Text, "FOCUS ResourceId"),
    required(cost::CHARGE_CATEGORY, Type::Text, "FOCUS ChargeCategory"),
    optional(cost::CHARGE_CLASS, Type::Text, "FOCUS ChargeClass: 'Correction', or null"),
    optional(cost::INVOICE, Type::Text, "FOCUS InvoiceId"),
    required(cost::CURRENCY, Type::Text, "FOCUS BillingCurrency, ISO 4217; never add across it"),
    required(cost::BILLED_COST, Type::Money, "FOCUS BilledCost, in the currency"),
    required(cost::EFFECTIVE_COST, Type::Money, "FOCUS EffectiveCost, in the currency"),
    optional(cost::TAGS, Type::Text, "FOCUS Tags, a JSON object as written"),
];

const COLUMNS: [Column; LEDGER.len() + DETAILS.len()] = columns();

const fn columns() -> [Column; LEDGER.len() + DETAILS.len()] {
    let mut columns = [ENTITY; LEDGER.len() + DETAILS.len()];
    let mut at = 0;
    while at < columns.len() {
        columns[at] =
            if at < LEDGER.len() { LEDGER[at] } else { detail(DETAILS[at - LEDGER.len()]) };
        at += 1;
    }
    columns
}

const fn detail(detail: Detail) -> Column {
    let type_ = match detail.holds {
        Holds::Text => Type::Text,
        Holds::Amount => Type::Money,
        Holds::Instant => Type::Instant,
    };
    optional(detail.name, type_, detail.doc)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FOCUS's name of every column: the ledger's are said in their descriptions.
    #[test]
    fn the_view_has_every_column_of_focus() {
        let view = crate::view::find("focus").unwrap();
        for detail in DETAILS {
            assert!(view.columns.iter().any(|(name, _)| *name == detail.focus), "{}", detail.focus);
            let taken = format!("{} AS \"{}\"", detail.name, detail.focus);
            assert!(view.sql.contains(&taken), "{taken}");
        }
    }
}
