-- Which fees recur for commitments, and what do they add up to over the term so far?
WITH monthly AS (
    SELECT CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE) AS month, "CommitmentDiscountId",
           "BillingCurrency",
           SUM("BilledCost") AS billed
    FROM focus
    WHERE "ChargeFrequency" = 'Recurring' AND "CommitmentDiscountId" IS NOT NULL
    GROUP BY CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE), "CommitmentDiscountId",
             "BillingCurrency"
)
SELECT month, "CommitmentDiscountId", "BillingCurrency", billed,
       SUM(billed) OVER (PARTITION BY "CommitmentDiscountId", "BillingCurrency"
                         ORDER BY month) AS billed_so_far
FROM monthly
ORDER BY "CommitmentDiscountId", month
