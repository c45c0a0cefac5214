-- What did each service cost, month by month?
SELECT CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE) AS month, "ProviderName",
       "ServiceName", "BillingCurrency",
       SUM("BilledCost") AS billed, SUM("EffectiveCost") AS effective
FROM focus
GROUP BY CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE), "ProviderName", "ServiceName",
         "BillingCurrency"
ORDER BY month, effective DESC, "ProviderName", "ServiceName"
