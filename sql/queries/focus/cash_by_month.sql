-- What leaves the account month by month, as billed, of each kind of charge?
SELECT CAST(DATE_TRUNC('month', "BillingPeriodStart") AS DATE) AS billing_month, "ChargeCategory",
       "ChargeFrequency", "BillingCurrency",
       SUM("BilledCost") AS billed
FROM focus
GROUP BY CAST(DATE_TRUNC('month', "BillingPeriodStart") AS DATE), "ChargeCategory",
         "ChargeFrequency", "BillingCurrency"
ORDER BY billing_month, "ChargeCategory", "ChargeFrequency", "BillingCurrency"
