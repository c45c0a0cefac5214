-- What does each service cost in each region, day by day?
SELECT CAST("ChargePeriodStart" AS DATE) AS day, "ProviderName", "RegionId", "ServiceName",
       "BillingCurrency",
       SUM("EffectiveCost") AS effective
FROM focus
GROUP BY CAST("ChargePeriodStart" AS DATE), "ProviderName", "RegionId", "ServiceName",
         "BillingCurrency"
ORDER BY day, effective DESC, "RegionId", "ServiceName"
