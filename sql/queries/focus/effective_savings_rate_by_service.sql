-- What is the effective savings rate of each service, those with the greatest cost first?
SELECT "ProviderName", "ServiceName", "BillingCurrency",
       SUM("ListCost") AS list, SUM("EffectiveCost") AS effective,
       1 - CAST(SUM("EffectiveCost") AS DOUBLE)
           / NULLIF(CAST(SUM("ListCost") AS DOUBLE), 0) AS savings_rate
FROM focus
WHERE "ChargeCategory" = 'Usage'
GROUP BY "ProviderName", "ServiceName", "BillingCurrency"
ORDER BY list DESC, "ServiceName"
