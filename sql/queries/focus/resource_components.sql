-- Of which metered parts does a resource cost consist, and what do they share?
SELECT "ResourceId", "ServiceName", "SkuMeter", "ChargeDescription", "BillingCurrency",
       SUM("ConsumedQuantity") AS consumed, MAX("ConsumedUnit") AS unit,
       SUM("EffectiveCost") AS effective
FROM focus
WHERE "ResourceId" IS NOT NULL AND "ChargeCategory" = 'Usage'
GROUP BY "ResourceId", "ServiceName", "SkuMeter", "ChargeDescription", "BillingCurrency"
ORDER BY effective DESC, "ResourceId", "ChargeDescription"
