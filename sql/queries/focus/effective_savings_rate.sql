-- What share of the cost at list price is saved in all (the effective savings rate)?
SELECT CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE) AS month, "ProviderName",
       "BillingCurrency",
       SUM("ListCost") AS list, SUM("EffectiveCost") AS effective,
       1 - CAST(SUM("EffectiveCost") AS DOUBLE)
           / NULLIF(CAST(SUM("ListCost") AS DOUBLE), 0) AS savings_rate
FROM focus
WHERE "ChargeCategory" = 'Usage'
GROUP BY CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE), "ProviderName", "BillingCurrency"
ORDER BY month, "ProviderName", "BillingCurrency"
