-- How does effective cost grow day by day within each month?
WITH daily AS (
    SELECT CAST("ChargePeriodStart" AS DATE) AS day,
           CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE) AS month, "BillingCurrency",
           SUM("EffectiveCost") AS effective
    FROM focus
    GROUP BY CAST("ChargePeriodStart" AS DATE),
             CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE), "BillingCurrency"
)
SELECT day, "BillingCurrency", effective,
       SUM(effective) OVER (PARTITION BY month, "BillingCurrency" ORDER BY day) AS to_date
FROM daily
ORDER BY day, "BillingCurrency"
