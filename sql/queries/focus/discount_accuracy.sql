-- Which charges of use were not priced as the contract says: is the contracted cost its unit price
-- times the quantity?
SELECT CAST(DATE_TRUNC('month', "BillingPeriodStart") AS DATE) AS billing_month, "ProviderName",
       "SkuPriceId", "BillingCurrency",
       COUNT(*) AS charges, SUM("ContractedCost") AS contracted,
       SUM(CAST("ContractedUnitPrice" AS DOUBLE) * CAST("PricingQuantity" AS DOUBLE)) AS expected
FROM focus
WHERE "ChargeCategory" = 'Usage' AND "ChargeClass" IS NULL
  AND ABS(CAST("ContractedCost" AS DOUBLE)
          - CAST("ContractedUnitPrice" AS DOUBLE) * CAST("PricingQuantity" AS DOUBLE)) > 0.01
GROUP BY CAST(DATE_TRUNC('month', "BillingPeriodStart") AS DATE), "ProviderName", "SkuPriceId",
         "BillingCurrency"
ORDER BY billing_month, "SkuPriceId"
