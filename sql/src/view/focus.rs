//! The rows of bills under FOCUS's own names, and what commitments do.

use super::View;

/// Of the rows that state one line, the one that the ledger holds: the order is that of the operator
/// `bill`, so that sums of these rows are those of `cost_daily`. Only lines told more than once, which
/// are few, are put in order.
pub(super) const FOCUS: View = View {
    name: "focus",
    description: "row of a bill that holds now, under FOCUS's own column names, which are written in \
                  double quotes; needs bill.lines",
    columns: &[
        ("BilledCost", "cost as invoiced, in the currency"),
        (
            "EffectiveCost",
            "cost with discounts and commitments spread over their use, in the currency",
        ),
        ("BillingCurrency", "ISO 4217; never add across it"),
        ("BillingAccountId", "who is invoiced"),
        ("ProviderName", "who provides the service; ServiceProviderName of FOCUS 1.3"),
        ("ServiceProviderName", "the same under the name of FOCUS 1.3"),
        ("ServiceName", "the service"),
        ("ServiceCategory", "what kind of service"),
        ("RegionId", "the region"),
        ("ResourceId", "the resource"),
        ("ChargeCategory", "'Usage', 'Purchase', 'Tax', 'Credit' or 'Adjustment'"),
        ("ChargeClass", "'Correction' where it corrects a closed period, or null"),
        ("InvoiceId", "the invoice"),
        ("Tags", "a JSON object; tag(\"Tags\", 'name') gives one"),
        ("BillingPeriodStart", "when the billing period begins, UTC"),
        ("BillingPeriodEnd", "its exclusive end, UTC"),
        ("ChargePeriodStart", "when the charge's period begins, UTC"),
        ("ChargePeriodEnd", "its exclusive end, UTC"),
        ("BillingAccountName", "name of the billing account"),
        ("BillingAccountType", "what the provider calls such an account"),
        ("SubAccountId", "the sub-account, where there is one"),
        ("SubAccountName", "its name"),
        ("SubAccountType", "what the provider calls such an account"),
        ("InvoiceIssuerName", "who issues the invoice"),
        ("PublisherName", "who made what is sold"),
        ("HostProviderName", "on whose infrastructure the service runs"),
        ("ChargeDescription", "the charge, in the provider's words"),
        ("ChargeFrequency", "'One-Time', 'Recurring' or 'Usage-Based'"),
        ("ListCost", "cost at the published price, in the currency"),
        ("ContractedCost", "cost at the negotiated price, in the currency"),
        ("ListUnitPrice", "published price of a pricing unit"),
        ("ContractedUnitPrice", "negotiated price of a pricing unit"),
        ("PricingQuantity", "how much was priced, in pricing units"),
        ("PricingUnit", "the unit of prices"),
        ("PricingCategory", "'Standard', 'Committed', 'Dynamic' or 'Other'"),
        ("PricingCurrency", "national or virtual currency of the prices"),
        ("ConsumedQuantity", "how much was used, in consumed units"),
        ("ConsumedUnit", "the unit of use"),
        ("SkuId", "what is sold"),
        ("SkuPriceId", "at which of its prices"),
        ("SkuMeter", "what of it is metered"),
        ("SkuPriceDetails", "what its price depends on: a JSON object"),
        ("ServiceSubcategory", "what kind of service within its category"),
        ("RegionName", "name of the region"),
        ("AvailabilityZone", "the zone within the region"),
        ("ResourceName", "name of the resource"),
        ("ResourceType", "what kind of resource"),
        ("CommitmentDiscountId", "the commitment that discounts the charge"),
        ("CommitmentDiscountName", "its name"),
        ("CommitmentDiscountType", "what the provider calls such a commitment"),
        ("CommitmentDiscountCategory", "'Spend' or 'Usage'"),
        ("CommitmentDiscountStatus", "'Used' or 'Unused'"),
        ("CommitmentDiscountQuantity", "how much of it, in its units"),
        ("CommitmentDiscountUnit", "the unit of that quantity"),
        ("CapacityReservationId", "the capacity reserved for the charge"),
        ("CapacityReservationStatus", "'Used' or 'Unused'"),
        ("x_Source", "name of the configured stream"),
        ("x_KnownOn", "day on which the row became known"),
    ],
    sql: r#"
            WITH told AS (
                SELECT source, entity_id, DATE_TRUNC('month', day) AS month, line,
                       COUNT(*) AS times, MIN("partition") AS first_partition,
                       MIN(offset_from) AS first_offset
                FROM cost_lines WHERE line IS NOT NULL
                GROUP BY source, entity_id, DATE_TRUNC('month', day), line
            ), placed AS (
                SELECT *, CAST(1 AS BIGINT) AS place FROM cost_lines WHERE line IS NULL
                UNION ALL
                SELECT l.*, CAST(1 AS BIGINT) AS place
                FROM cost_lines l JOIN told
                  ON told.source = l.source AND told.first_partition = l."partition"
                     AND told.first_offset = l.offset_from
                WHERE told.times = 1
                UNION ALL
                SELECT l.*, CAST(ROW_NUMBER() OVER (
                           PARTITION BY l.source, l.entity_id, DATE_TRUNC('month', l.day), l.line
                           ORDER BY l.version DESC, l.effective_cost DESC, l.billed_cost DESC,
                                    l.rank DESC, l."partition", l.offset_from) AS BIGINT) AS place
                FROM cost_lines l JOIN told
                  ON told.source = l.source AND told.entity_id = l.entity_id
                     AND told.month = DATE_TRUNC('month', l.day) AND told.line = l.line
                WHERE told.times > 1
            )
            SELECT billed_cost AS "BilledCost", effective_cost AS "EffectiveCost",
                   currency AS "BillingCurrency", billing_account AS "BillingAccountId",
                   provider AS "ProviderName", provider AS "ServiceProviderName",
                   service AS "ServiceName", service_category AS "ServiceCategory",
                   region AS "RegionId", resource AS "ResourceId",
                   charge_category AS "ChargeCategory", charge_class AS "ChargeClass",
                   invoice AS "InvoiceId", tags AS "Tags",
                   billing_period_start AS "BillingPeriodStart",
                   billing_period_end AS "BillingPeriodEnd",
                   charge_period_start AS "ChargePeriodStart",
                   charge_period_end AS "ChargePeriodEnd",
                   billing_account_name AS "BillingAccountName",
                   billing_account_type AS "BillingAccountType", sub_account AS "SubAccountId",
                   sub_account_name AS "SubAccountName", sub_account_type AS "SubAccountType",
                   invoice_issuer AS "InvoiceIssuerName", publisher AS "PublisherName",
                   host_provider AS "HostProviderName", charge_description AS "ChargeDescription",
                   charge_frequency AS "ChargeFrequency", list_cost AS "ListCost",
                   contracted_cost AS "ContractedCost", list_unit_price AS "ListUnitPrice",
                   contracted_unit_price AS "ContractedUnitPrice",
                   pricing_quantity AS "PricingQuantity", pricing_unit AS "PricingUnit",
                   pricing_category AS "PricingCategory", pricing_currency AS "PricingCurrency",
                   consumed_quantity AS "ConsumedQuantity", consumed_unit AS "ConsumedUnit",
                   sku AS "SkuId", sku_price AS "SkuPriceId", sku_meter AS "SkuMeter",
                   sku_price_details AS "SkuPriceDetails",
                   service_subcategory AS "ServiceSubcategory", region_name AS "RegionName",
                   availability_zone AS "AvailabilityZone", resource_name AS "ResourceName",
                   resource_type AS "ResourceType", commitment AS "CommitmentDiscountId",
                   commitment_name AS "CommitmentDiscountName",
                   commitment_type AS "CommitmentDiscountType",
                   commitment_category AS "CommitmentDiscountCategory",
                   commitment_status AS "CommitmentDiscountStatus",
                   commitment_quantity AS "CommitmentDiscountQuantity",
                   commitment_unit AS "CommitmentDiscountUnit",
                   capacity_reservation AS "CapacityReservationId",
                   capacity_reservation_status AS "CapacityReservationStatus",
                   source AS "x_Source", known_on AS "x_KnownOn"
            FROM placed WHERE place = 1"#,
};

pub(super) const COMMITMENT_UTILISATION: View = View {
    name: "commitment_utilisation",
    description: "how much of a commitment was used in a month; needs bill.lines",
    columns: &[
        ("month", "month in which the charge periods begin, UTC"),
        ("provider", "FOCUS ProviderName"),
        ("billing_account", "FOCUS BillingAccountId"),
        ("commitment", "FOCUS CommitmentDiscountId"),
        ("commitment_name", "FOCUS CommitmentDiscountName"),
        ("commitment_type", "FOCUS CommitmentDiscountType"),
        ("commitment_category", "'Spend' or 'Usage'"),
        ("currency", "ISO 4217; never add across it"),
        ("purchased", "billed for the commitment itself: its purchases and recurring fees"),
        ("used", "effective cost of what used it"),
        ("unused", "effective cost of what nothing used"),
        ("utilisation", "used as a share of both; 1 is all, null where nothing is said"),
        ("list_cost", "what had been paid at list price for what used it; null where not told"),
    ],
    sql: r#"
            SELECT CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE) AS month,
                   "ProviderName" AS provider, "BillingAccountId" AS billing_account,
                   "CommitmentDiscountId" AS commitment,
                   MAX("CommitmentDiscountName") AS commitment_name,
                   MAX("CommitmentDiscountType") AS commitment_type,
                   MAX("CommitmentDiscountCategory") AS commitment_category,
                   "BillingCurrency" AS currency,
                   COALESCE(SUM("BilledCost") FILTER (WHERE "ChargeCategory" = 'Purchase'), 0)
                       AS purchased,
                   COALESCE(SUM("EffectiveCost") FILTER (
                       WHERE "CommitmentDiscountStatus" = 'Used'), 0) AS used,
                   COALESCE(SUM("EffectiveCost") FILTER (
                       WHERE "CommitmentDiscountStatus" = 'Unused'), 0) AS unused,
                   CAST(COALESCE(SUM("EffectiveCost") FILTER (
                       WHERE "CommitmentDiscountStatus" = 'Used'), 0) AS DOUBLE)
                       / NULLIF(CAST(SUM("EffectiveCost") FILTER (
                           WHERE "CommitmentDiscountStatus" IN ('Used', 'Unused')) AS DOUBLE), 0)
                       AS utilisation,
                   SUM("ListCost") FILTER (WHERE "CommitmentDiscountStatus" = 'Used') AS list_cost
            FROM focus
            WHERE "CommitmentDiscountId" IS NOT NULL
            GROUP BY CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE), "ProviderName",
                     "BillingAccountId", "CommitmentDiscountId", "BillingCurrency""#,
};

pub(super) const COMMITMENT_COVERAGE: View = View {
    name: "commitment_coverage",
    description: "how much of a service's use in a month commitments paid for; needs bill.lines",
    columns: &[
        ("month", "month in which the charge periods begin, UTC"),
        ("provider", "FOCUS ProviderName"),
        ("service", "FOCUS ServiceName"),
        ("currency", "ISO 4217; never add across it"),
        ("covered", "effective cost of use that a commitment discounts"),
        ("uncovered", "effective cost of use that none does"),
        ("unused", "effective cost of commitments for the service that nothing used"),
        ("coverage", "covered as a share of all use; null where there is none"),
        ("list_coverage", "the same at list prices; null where they are not told"),
    ],
    sql: r#"
            WITH use AS (
                SELECT CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE) AS month,
                       "ProviderName" AS provider, "ServiceName" AS service,
                       "BillingCurrency" AS currency, "EffectiveCost" AS cost,
                       "ListCost" AS list_cost,
                       CASE WHEN "CommitmentDiscountId" IS NULL THEN 'uncovered'
                            WHEN "CommitmentDiscountStatus" = 'Unused' THEN 'unused'
                            ELSE 'covered' END AS part
                FROM focus
                WHERE "ChargeCategory" = 'Usage'
            )
            SELECT month, provider, service, currency,
                   COALESCE(SUM(cost) FILTER (WHERE part = 'covered'), 0) AS covered,
                   COALESCE(SUM(cost) FILTER (WHERE part = 'uncovered'), 0) AS uncovered,
                   COALESCE(SUM(cost) FILTER (WHERE part = 'unused'), 0) AS unused,
                   CAST(COALESCE(SUM(cost) FILTER (WHERE part = 'covered'), 0) AS DOUBLE)
                       / NULLIF(CAST(SUM(cost) FILTER (WHERE part <> 'unused') AS DOUBLE), 0)
                       AS coverage,
                   CAST(COALESCE(SUM(list_cost) FILTER (WHERE part = 'covered'), 0) AS DOUBLE)
                       / NULLIF(CAST(SUM(list_cost) FILTER (WHERE part <> 'unused') AS DOUBLE), 0)
                       AS list_coverage
            FROM use
            GROUP BY month, provider, service, currency"#,
};
