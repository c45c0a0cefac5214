-- How much more or less than the month before does each service cost?
WITH monthly AS (
    SELECT CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE) AS month, "ProviderName",
           "ServiceName", "BillingCurrency",
           SUM("EffectiveCost") AS effective
    FROM focus
    GROUP BY CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE), "ProviderName", "ServiceName",
             "BillingCurrency"
)
SELECT month, "ProviderName", "ServiceName", "BillingCurrency", effective,
       effective - LAG(effective) OVER (
           PARTITION BY "ProviderName", "ServiceName", "BillingCurrency" ORDER BY month) AS change
FROM monthly
ORDER BY month, "ProviderName", "ServiceName", "BillingCurrency"
