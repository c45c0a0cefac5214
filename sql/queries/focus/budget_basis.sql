-- What was billed to each application in each billing period: what next year's budget starts from?
SELECT CAST(DATE_TRUNC('month', "BillingPeriodStart") AS DATE) AS billing_month,
       tag("Tags", 'application') AS application, "BillingCurrency",
       SUM("BilledCost") AS billed
FROM focus
GROUP BY CAST(DATE_TRUNC('month', "BillingPeriodStart") AS DATE), tag("Tags", 'application'),
         "BillingCurrency"
ORDER BY billing_month, billed DESC, application
