//! What costs add up to: the ledgers' sums.

use super::View;

pub(super) const COST_DAILY: View = View {
    name: "cost_daily",
    description: "what an account's charges of a day add up to, exactly, as far as is known now",
    columns: &[
        ("source", "name of the configured stream"),
        ("entity_id", "sub-account, or the billing account where there is none"),
        ("day", "day on which the charge periods begin, UTC"),
        ("provider", "FOCUS ProviderName"),
        ("billing_account", "FOCUS BillingAccountId"),
        ("service", "FOCUS ServiceName"),
        ("currency", "FOCUS BillingCurrency, ISO 4217; never add across it"),
        ("service_category", "FOCUS ServiceCategory, where bill.by names it"),
        ("region", "FOCUS RegionId, where bill.by names it"),
        ("resource", "FOCUS ResourceId, where bill.by names it"),
        ("charge_category", "FOCUS ChargeCategory, where bill.by names it"),
        ("invoice", "FOCUS InvoiceId, where bill.by names it"),
        ("tags", "JSON object of the tags that bill.by names"),
        ("billed_cost", "sum of BilledCost, in the currency"),
        ("effective_cost", "sum of EffectiveCost, in the currency"),
        ("charges", "charges added up"),
        ("known_on", "day on which it last changed"),
    ],
    sql: "
        SELECT source, entity_id, day, provider, billing_account, service, currency,
               service_category, region, resource, charge_category, invoice, tags,
               SUM(billed_after - billed_before) AS billed_cost,
               SUM(effective_after - effective_before) AS effective_cost,
               SUM(charges_after - charges_before) AS charges, MAX(known_on) AS known_on
        FROM cost_changes
        GROUP BY source, entity_id, day, provider, billing_account, service, currency,
                 service_category, region, resource, charge_category, invoice, tags
        HAVING SUM(charges_after - charges_before) <> 0",
};

pub(super) const COST_REVISIONS: View = View {
    name: "cost_revisions",
    description: "what a day's charges were known to add up to, before and after each day that \
                  changed it; those known by a day say what was believed on it",
    columns: &[
        ("source", "name of the configured stream"),
        ("entity_id", "sub-account, or the billing account where there is none"),
        ("day", "day on which the charge periods begin, UTC"),
        ("provider", "FOCUS ProviderName"),
        ("billing_account", "FOCUS BillingAccountId"),
        ("service", "FOCUS ServiceName"),
        ("currency", "FOCUS BillingCurrency, ISO 4217; never add across it"),
        ("service_category", "FOCUS ServiceCategory, where bill.by names it"),
        ("region", "FOCUS RegionId, where bill.by names it"),
        ("resource", "FOCUS ResourceId, where bill.by names it"),
        ("charge_category", "FOCUS ChargeCategory, where bill.by names it"),
        ("invoice", "FOCUS InvoiceId, where bill.by names it"),
        ("tags", "JSON object of the tags that bill.by names"),
        ("known_on", "day on which the change became known"),
        ("reason", "'charge', 'correction' or 'restatement': the gravest of that day"),
        ("billed_before", "sum of BilledCost before, in the currency"),
        ("billed_after", "sum of BilledCost after, in the currency"),
        ("billed_change", "their difference: add up those known by a day"),
        ("effective_before", "sum of EffectiveCost before, in the currency"),
        ("effective_after", "sum of EffectiveCost after, in the currency"),
        ("effective_change", "their difference"),
        ("charges_after", "charges that add up to it after"),
        ("records", "records that made the change"),
        ("epoch", "epoch that committed the last of them"),
    ],
    sql: "
        WITH change AS (
            SELECT source, entity_id, day, provider, billing_account, service, currency,
                   service_category, region, resource, charge_category, invoice, tags, known_on,
                   MAX(reason) AS reason, SUM(records) AS records, MAX(epoch) AS epoch,
                   SUM(billed_after - billed_before) AS billed_change,
                   SUM(effective_after - effective_before) AS effective_change,
                   SUM(charges_after - charges_before) AS charges_change
            FROM cost_changes
            GROUP BY source, entity_id, day, provider, billing_account, service, currency,
                     service_category, region, resource, charge_category, invoice, tags,
                     known_on
        ), total AS (
            SELECT *, SUM(billed_change) OVER key AS billed_after,
                   SUM(effective_change) OVER key AS effective_after,
                   SUM(charges_change) OVER key AS charges_after
            FROM change
            WINDOW key AS (
                PARTITION BY source, entity_id, day, provider, billing_account, service,
                             currency, service_category, region, resource, charge_category,
                             invoice, tags
                ORDER BY known_on ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
        )
        SELECT source, entity_id, day, provider, billing_account, service, currency,
               service_category, region, resource, charge_category, invoice, tags, known_on,
               reason, billed_after - billed_change AS billed_before, billed_after,
               billed_change, effective_after - effective_change AS effective_before,
               effective_after, effective_change, charges_after, records, epoch
        FROM total",
};

pub(super) const COST_ROLLUPS: View = View {
    name: "cost_rollups",
    description: "what one account, service, region, tag's value … costs in a day or a month, \
                  exactly, as far as is known now",
    columns: &[
        ("source", "name of the configured stream"),
        ("by", "by what costs are added up: 'account', 'service', 'tag:team' and so on"),
        ("period", "'day' or 'month'"),
        ("start", "first day of the period, UTC"),
        ("name", "whose costs; null where charges name none"),
        ("currency", "FOCUS BillingCurrency, ISO 4217; never add across it"),
        ("billed_cost", "sum of BilledCost, in the currency"),
        ("effective_cost", "sum of EffectiveCost, in the currency"),
        ("charges", "charges added up"),
        ("known_on", "day on which it last changed"),
    ],
    sql: "
        SELECT source, \"by\", period, start, name, currency,
               SUM(billed_after - billed_before) AS billed_cost,
               SUM(effective_after - effective_before) AS effective_cost,
               SUM(charges_after - charges_before) AS charges, MAX(known_on) AS known_on
        FROM cost_rollup_changes
        GROUP BY source, \"by\", period, start, name, currency
        HAVING SUM(charges_after - charges_before) <> 0",
};

pub(super) const COST_ALLOCATIONS: View = View {
    name: "cost_allocations",
    description: "what a target has of a billing account's calendar month, directly or by a rule, as \
                  far as is known now; all targets and rules together are the bill, exactly",
    columns: &[
        ("source", "name of the configured stream"),
        ("billing_account", "FOCUS BillingAccountId"),
        ("month", "first day of the month, UTC"),
        ("currency", "FOCUS BillingCurrency, ISO 4217; never add across it"),
        ("allocation", "name of the configured allocation; never add across it"),
        ("target", "whose costs; null where nobody has them: see rule"),
        ("rule", "the rule whose costs are shared, or 'direct': the target's own"),
        ("billed_cost", "of BilledCost, in the currency"),
        ("effective_cost", "of EffectiveCost, in the currency"),
        ("known_on", "day on which it last changed"),
    ],
    sql: "
        WITH change AS (
            SELECT source, billing_account, month, currency, allocation, target, rule, known_on,
                   SUM(billed_after - billed_before) AS billed_change,
                   SUM(effective_after - effective_before) AS effective_change
            FROM cost_allocation_changes
            GROUP BY source, billing_account, month, currency, allocation, target, rule, known_on
            HAVING SUM(billed_after - billed_before) <> 0
                OR SUM(effective_after - effective_before) <> 0
        )
        SELECT source, billing_account, month, currency, allocation, target, rule,
               SUM(billed_change) AS billed_cost, SUM(effective_change) AS effective_cost,
               MAX(known_on) AS known_on
        FROM change
        GROUP BY source, billing_account, month, currency, allocation, target, rule
        HAVING SUM(billed_change) <> 0 OR SUM(effective_change) <> 0",
};

pub(super) const COST_MONTHLY: View = View {
    name: "cost_monthly",
    description: "what an account was charged for a service in a calendar month, exactly",
    columns: &[
        ("month", "first day of the month, UTC"),
        ("source", "name of the configured stream"),
        ("account", "sub-account, or the billing account where there is none"),
        ("provider", "FOCUS ProviderName"),
        ("service", "FOCUS ServiceName"),
        ("currency", "FOCUS BillingCurrency, ISO 4217; never add across it"),
        ("billed_cost", "sum of BilledCost, in the currency"),
        ("effective_cost", "sum of EffectiveCost, in the currency"),
        ("charges", "charges added up"),
    ],
    sql: "
        SELECT CAST(DATE_TRUNC('month', day) AS DATE) AS month, source, entity_id AS account,
               provider, service, currency, SUM(billed_cost) AS billed_cost,
               SUM(effective_cost) AS effective_cost, SUM(charges) AS charges
        FROM cost_daily
        GROUP BY CAST(DATE_TRUNC('month', day) AS DATE), source, entity_id, provider, service,
                 currency
        ORDER BY month, account, billed_cost DESC, provider, service, currency",
};

pub(super) const COST_BY_SERVICE: View = View {
    name: "cost_by_service",
    description: "what one account was charged for one service on one day, exactly",
    columns: &[
        ("day", "day on which the charge periods begin, UTC"),
        ("account", "sub-account, or the billing account where there is none"),
        ("provider", "FOCUS ProviderName"),
        ("service", "FOCUS ServiceName"),
        ("currency", "FOCUS BillingCurrency, ISO 4217; never add across it"),
        ("billed_cost", "sum of BilledCost, in the currency"),
        ("effective_cost", "sum of EffectiveCost, in the currency"),
        ("charges", "charge rows added up"),
    ],
    sql: "
        SELECT day, entity_id AS account, provider, service, currency,
               SUM(billed_cost) AS billed_cost, SUM(effective_cost) AS effective_cost,
               SUM(charges) AS charges
        FROM cost_daily
        GROUP BY day, entity_id, provider, service, currency
        ORDER BY day, account, billed_cost DESC, provider, service, currency",
};
