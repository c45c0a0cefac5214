-- What share of the use of each service do commitments pay for, at list prices?
SELECT "ProviderName", "ServiceName", "BillingCurrency",
       COALESCE(SUM("ListCost") FILTER (WHERE "CommitmentDiscountId" IS NOT NULL), 0) AS covered,
       SUM("ListCost") AS list,
       CAST(COALESCE(SUM("ListCost") FILTER (
           WHERE "CommitmentDiscountId" IS NOT NULL), 0) AS DOUBLE)
           / NULLIF(CAST(SUM("ListCost") AS DOUBLE), 0) AS coverage
FROM focus
WHERE "ChargeCategory" = 'Usage'
  AND ("CommitmentDiscountStatus" IS NULL OR "CommitmentDiscountStatus" = 'Used')
GROUP BY "ProviderName", "ServiceName", "BillingCurrency"
ORDER BY covered DESC, "ServiceName"
