-- In which regions is each sub-account charged?
SELECT "ProviderName", "RegionId", "RegionName", "SubAccountId", "BillingCurrency",
       SUM("EffectiveCost") AS effective
FROM focus
WHERE "RegionId" IS NOT NULL
GROUP BY "ProviderName", "RegionId", "RegionName", "SubAccountId", "BillingCurrency"
ORDER BY "RegionId", effective DESC, "SubAccountId"
