-- What taxes were charged, on which accounts and invoices?
SELECT CAST(DATE_TRUNC('month', "BillingPeriodStart") AS DATE) AS billing_month,
       "InvoiceIssuerName", "BillingAccountId", "InvoiceId",
       "BillingCurrency", SUM("BilledCost") AS billed
FROM focus
WHERE "ChargeCategory" = 'Tax'
GROUP BY CAST(DATE_TRUNC('month', "BillingPeriodStart") AS DATE), "InvoiceIssuerName",
         "BillingAccountId", "InvoiceId", "BillingCurrency"
ORDER BY billing_month, "InvoiceId"
