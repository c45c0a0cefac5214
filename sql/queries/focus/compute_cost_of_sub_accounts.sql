-- Which compute service costs most in each sub-account?
WITH costs AS (
    SELECT "SubAccountId", "BillingCurrency", "ServiceName", SUM("EffectiveCost") AS effective
    FROM focus
    WHERE "ServiceCategory" = 'Compute'
    GROUP BY "SubAccountId", "BillingCurrency", "ServiceName"
), placed AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY "SubAccountId", "BillingCurrency"
                                 ORDER BY effective DESC, "ServiceName") AS place
    FROM costs
)
SELECT "SubAccountId", "BillingCurrency", "ServiceName", effective
FROM placed
WHERE place = 1
ORDER BY effective DESC, "SubAccountId"
