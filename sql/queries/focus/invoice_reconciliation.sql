-- What must each invoice say, to the cent?
SELECT "ProviderName", "InvoiceIssuerName", "BillingAccountId", "InvoiceId", "BillingCurrency",
       SUM("BilledCost") AS billed, ROUND(SUM("BilledCost"), 2) AS invoiced, COUNT(*) AS charges
FROM focus
GROUP BY "ProviderName", "InvoiceIssuerName", "BillingAccountId", "InvoiceId", "BillingCurrency"
ORDER BY "InvoiceIssuerName", "InvoiceId", "BillingCurrency"
