-- Which services do the sub-accounts of each provider spend on?
SELECT "ProviderName", "SubAccountId", "SubAccountName", "ServiceName", "BillingCurrency",
       SUM("EffectiveCost") AS effective, COUNT(*) AS charges
FROM focus
GROUP BY "ProviderName", "SubAccountId", "SubAccountName", "ServiceName", "BillingCurrency"
ORDER BY effective DESC, "SubAccountId", "ServiceName"
