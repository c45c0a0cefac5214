-- How much of each commitment went unused, in cost and in its own units?
SELECT "ProviderName", "BillingAccountId", "CommitmentDiscountId", "CommitmentDiscountType",
       "CommitmentDiscountUnit", "BillingCurrency",
       SUM("EffectiveCost") AS effective, SUM("CommitmentDiscountQuantity") AS quantity
FROM focus
WHERE "CommitmentDiscountStatus" = 'Unused'
GROUP BY "ProviderName", "BillingAccountId", "CommitmentDiscountId", "CommitmentDiscountType",
         "CommitmentDiscountUnit", "BillingCurrency"
ORDER BY effective DESC, "CommitmentDiscountId"
