-- What is billed by each provider in each billing period?
SELECT CAST(DATE_TRUNC('month', "BillingPeriodStart") AS DATE) AS billing_month, "ProviderName",
       "BillingAccountId", "BillingAccountName",
       "BillingCurrency", SUM("BilledCost") AS billed
FROM focus
GROUP BY CAST(DATE_TRUNC('month', "BillingPeriodStart") AS DATE), "ProviderName",
         "BillingAccountId", "BillingAccountName", "BillingCurrency"
ORDER BY billing_month, "ProviderName", "BillingAccountId"
