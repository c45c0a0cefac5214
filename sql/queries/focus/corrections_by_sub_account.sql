-- Which sub-accounts do corrections concern?
SELECT CAST(DATE_TRUNC('month', "BillingPeriodStart") AS DATE) AS billing_month, "SubAccountId",
       "SubAccountName", "ServiceName",
       "BillingCurrency", SUM("BilledCost") AS billed
FROM focus
WHERE "ChargeClass" = 'Correction'
GROUP BY CAST(DATE_TRUNC('month', "BillingPeriodStart") AS DATE), "SubAccountId", "SubAccountName",
         "ServiceName", "BillingCurrency"
ORDER BY billing_month, "SubAccountId", "ServiceName"
