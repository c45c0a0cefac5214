-- Which prices make up what a resource costs?
SELECT "ResourceId", "ResourceName", "SkuId", "SkuPriceId", "PricingUnit", "BillingCurrency",
       SUM("PricingQuantity") AS quantity, SUM("ListCost") AS list,
       SUM("EffectiveCost") AS effective
FROM focus
WHERE "ResourceId" IS NOT NULL
GROUP BY "ResourceId", "ResourceName", "SkuId", "SkuPriceId", "PricingUnit", "BillingCurrency"
ORDER BY effective DESC, list DESC, "ResourceId", "SkuPriceId"
