-- Which billing accounts and sub-accounts are charged, and under what names?
SELECT "ProviderName", "BillingAccountId", "BillingAccountName", "BillingAccountType",
       "SubAccountId", "SubAccountName", "SubAccountType", COUNT(*) AS charges
FROM focus
GROUP BY "ProviderName", "BillingAccountId", "BillingAccountName", "BillingAccountType",
         "SubAccountId", "SubAccountName", "SubAccountType"
ORDER BY "ProviderName", "BillingAccountId", "SubAccountId"
