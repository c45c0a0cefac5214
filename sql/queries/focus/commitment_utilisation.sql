-- What share of each commitment was used?
SELECT "CommitmentDiscountId", "BillingCurrency",
       COALESCE(SUM("EffectiveCost") FILTER (WHERE "CommitmentDiscountStatus" = 'Used'), 0) AS used,
       COALESCE(SUM("EffectiveCost") FILTER (WHERE "CommitmentDiscountStatus" = 'Unused'), 0)
           AS unused,
       CAST(COALESCE(SUM("EffectiveCost") FILTER (
           WHERE "CommitmentDiscountStatus" = 'Used'), 0) AS DOUBLE)
           / NULLIF(CAST(SUM("EffectiveCost") AS DOUBLE), 0) AS utilisation
FROM focus
WHERE "CommitmentDiscountStatus" IS NOT NULL
GROUP BY "CommitmentDiscountId", "BillingCurrency"
ORDER BY "CommitmentDiscountId"
