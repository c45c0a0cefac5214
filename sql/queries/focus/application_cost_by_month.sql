-- What does each application, as tagged, cost month by month? Untagged cost is a row of its own.
SELECT CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE) AS month,
       tag("Tags", 'application') AS application, "BillingCurrency",
       SUM("BilledCost") AS billed, SUM("EffectiveCost") AS effective
FROM focus
GROUP BY CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE), tag("Tags", 'application'),
         "BillingCurrency"
ORDER BY month, effective DESC, application
