-- How much of each SKU is used each day, and at what cost: what a forecast of use and rates starts
-- from?
SELECT CAST("ChargePeriodStart" AS DATE) AS day, "ProviderName", "SkuId", "SkuPriceId",
       "PricingUnit", "ListUnitPrice",
       "BillingCurrency", SUM("PricingQuantity") AS quantity, SUM("ListCost") AS list,
       SUM("EffectiveCost") AS effective
FROM focus
WHERE "SkuId" IS NOT NULL
GROUP BY CAST("ChargePeriodStart" AS DATE), "ProviderName", "SkuId", "SkuPriceId", "PricingUnit",
         "ListUnitPrice", "BillingCurrency"
ORDER BY day, "SkuId", "SkuPriceId"
