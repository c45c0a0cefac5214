-- Which services and sub-accounts used each commitment?
SELECT "CommitmentDiscountId", "SubAccountId", "ServiceName", "BillingCurrency",
       SUM("EffectiveCost") AS effective, SUM("ListCost") AS list,
       SUM("CommitmentDiscountQuantity") AS quantity
FROM focus
WHERE "CommitmentDiscountStatus" = 'Used'
GROUP BY "CommitmentDiscountId", "SubAccountId", "ServiceName", "BillingCurrency"
ORDER BY effective DESC, "CommitmentDiscountId", "SubAccountId", "ServiceName"
