-- What is paid on average for a unit of each SKU, beside its list price?
SELECT "ProviderName", "SkuId", "PricingUnit", "BillingCurrency",
       SUM("PricingQuantity") AS quantity, SUM("EffectiveCost") AS effective,
       CAST(SUM("EffectiveCost") AS DOUBLE)
           / NULLIF(CAST(SUM("PricingQuantity") AS DOUBLE), 0) AS average_rate,
       MAX("ListUnitPrice") AS list_unit_price
FROM focus
WHERE "ChargeCategory" = 'Usage' AND "SkuId" IS NOT NULL
GROUP BY "ProviderName", "SkuId", "PricingUnit", "BillingCurrency"
ORDER BY effective DESC, "SkuId", "PricingUnit"
