-- What does computing cost in all, and at list price, at each provider?
SELECT CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE) AS month, "ProviderName",
       "BillingCurrency",
       SUM("EffectiveCost") AS effective, SUM("ListCost") AS list
FROM focus
WHERE "ServiceCategory" = 'Compute'
GROUP BY CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE), "ProviderName", "BillingCurrency"
ORDER BY month, "ProviderName"
