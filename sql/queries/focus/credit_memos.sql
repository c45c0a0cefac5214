-- Which credits did providers grant, on which invoices?
SELECT "ProviderName", "InvoiceIssuerName", "InvoiceId", "ChargeDescription", "BillingCurrency",
       SUM("BilledCost") AS billed
FROM focus
WHERE "ChargeCategory" = 'Credit'
GROUP BY "ProviderName", "InvoiceIssuerName", "InvoiceId", "ChargeDescription", "BillingCurrency"
ORDER BY billed, "InvoiceId", "ChargeDescription"
