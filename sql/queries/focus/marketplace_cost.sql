-- What is bought of others than the provider itself, and who made it?
SELECT "ProviderName", "PublisherName", "InvoiceIssuerName", "BillingCurrency",
       SUM("BilledCost") AS billed, COUNT(*) AS charges
FROM focus
WHERE "PublisherName" <> "InvoiceIssuerName"
GROUP BY "ProviderName", "PublisherName", "InvoiceIssuerName", "BillingCurrency"
ORDER BY billed DESC, "PublisherName"
