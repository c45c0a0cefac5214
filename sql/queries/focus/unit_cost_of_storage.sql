-- What is paid for a unit of what each storage service stores or moves (its unit economics)?
SELECT CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE) AS month, "ServiceName",
       "ConsumedUnit", "BillingCurrency",
       SUM("ConsumedQuantity") AS consumed, SUM("EffectiveCost") AS effective,
       CAST(SUM("EffectiveCost") AS DOUBLE)
           / NULLIF(CAST(SUM("ConsumedQuantity") AS DOUBLE), 0) AS unit_cost
FROM focus
WHERE "ServiceCategory" = 'Storage' AND "ChargeCategory" = 'Usage'
GROUP BY CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE), "ServiceName", "ConsumedUnit",
         "BillingCurrency"
ORDER BY month, "ServiceName", "ConsumedUnit"
