-- What came back, by service: credits, and use or purchases of negative cost?
SELECT "ProviderName", "BillingAccountId", "ServiceName", "ChargeCategory", "BillingCurrency",
       SUM("BilledCost") AS billed, COUNT(*) AS charges
FROM focus
WHERE "BilledCost" < 0
GROUP BY "ProviderName", "BillingAccountId", "ServiceName", "ChargeCategory", "BillingCurrency"
ORDER BY billed, "ServiceName", "ChargeCategory"
