//! FOCUS 1.0 to 1.3.
//!
//! Versions differ, for us, in who is named: 1.0 to 1.2 have `ProviderName` and `PublisherName`,
//! 1.3 replaces them by `ServiceProviderName` and `HostProviderName`. Column names are compared
//! without case, spaces and underscores, as warehouses rewrite them.

use cloudops_operators::schema::focus::DETAILS;

use super::super::record::Naming;
use super::super::time::TimeFormat;
use super::{Identity, Label, Plan, Wants};

/// The plan of a FOCUS file; what its version lacks of the other columns is null.
pub(in crate::read) fn plan(identity: &Identity, known: Option<&str>, lines: bool) -> Plan {
    let mut wants = Wants::default();
    let mut label = |columns: &[&str], required: Option<&str>| Label {
        columns: columns
            .iter()
            .map(|name| match required {
                Some(only) if columns.len() == 1 && only == *name => wants.required(name),
                _ => wants.optional(name),
            })
            .collect(),
        otherwise: None,
        required: required.map(str::to_owned),
    };
    let must = |name: &'static str| ([name], Some(name));
    let mut required = |name: &'static str| {
        let (columns, required) = must(name);
        label(&columns, required)
    };
    let billing_account = required("BillingAccountId");
    let service = required("ServiceName");
    let charge_category = required("ChargeCategory");
    let currency = required("BillingCurrency");
    let account = ["SubAccountId", "BillingAccountId"];
    let providers = ["ServiceProviderName", "ProviderName", "HostProviderName", "PublisherName"];
    let labels = [
        label(&account, Some("BillingAccountId")),
        label(&providers, Some("ProviderName")),
        billing_account,
        service,
        label(&["ServiceCategory"], None),
        label(&["RegionId"], None),
        label(&["ResourceId"], None),
        charge_category,
        label(&["ChargeClass"], None),
        label(&["InvoiceId"], None),
        currency,
        label(&["Tags"], None),
    ];
    let details = DETAILS.iter();
    Plan {
        naming: Naming::Loose,
        labels,
        start: wants.required("ChargePeriodStart"),
        end: Some(wants.required("ChargePeriodEnd")),
        known: known.map(|name| wants.required(name)),
        time_format: TimeFormat::Auto,
        billed: wants.required("BilledCost"),
        effective: wants.required("EffectiveCost"),
        line: identity.line.iter().map(|name| wants.required(name)).collect(),
        version: identity.version.as_ref().map(|name| wants.required(name)),
        details: details
            .filter(|_| lines)
            .map(|detail| Some(wants.optional(detail.focus)))
            .collect(),
        wants: wants.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_columns_are_asked_for_only_where_rows_are_kept() {
        let asked = |lines| {
            let plan = plan(&Identity::default(), None, lines);
            plan.wants.iter().any(|want| want.name == "ListCost")
        };
        assert!(asked(true) && !asked(false));
    }
}
