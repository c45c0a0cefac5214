-- On which days did a sub-account cost more than twice its mean of the seven days before?
WITH daily AS (
    SELECT CAST("ChargePeriodStart" AS DATE) AS day, "SubAccountId", "BillingCurrency",
           SUM("EffectiveCost") AS effective
    FROM focus
    WHERE "ChargeCategory" = 'Usage'
    GROUP BY CAST("ChargePeriodStart" AS DATE), "SubAccountId", "BillingCurrency"
), beside AS (
    SELECT *, AVG(CAST(effective AS DOUBLE)) OVER (
               PARTITION BY "SubAccountId", "BillingCurrency" ORDER BY day
               ROWS BETWEEN 7 PRECEDING AND 1 PRECEDING) AS usual
    FROM daily
)
SELECT day, "SubAccountId", "BillingCurrency", effective, usual
FROM beside
WHERE CAST(effective AS DOUBLE) > 2 * usual + 0.01
ORDER BY day, "SubAccountId", "BillingCurrency"
