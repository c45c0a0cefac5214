-- Which commitments were bought, when, and for how much?
SELECT CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE) AS month, "ProviderName",
       "BillingAccountId", "CommitmentDiscountId",
       "CommitmentDiscountName", "CommitmentDiscountType", "ChargeFrequency", "BillingCurrency",
       SUM("BilledCost") AS billed, SUM("EffectiveCost") AS effective
FROM focus
WHERE "ChargeCategory" = 'Purchase' AND "CommitmentDiscountId" IS NOT NULL
GROUP BY CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE), "ProviderName", "BillingAccountId",
         "CommitmentDiscountId",
         "CommitmentDiscountName", "CommitmentDiscountType", "ChargeFrequency", "BillingCurrency"
ORDER BY month, "CommitmentDiscountId", "ChargeFrequency"
