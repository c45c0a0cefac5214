-- What do the resources in each availability zone cost, by sub-account?
SELECT "ProviderName", "SubAccountId", "RegionId", "AvailabilityZone", "BillingCurrency",
       COUNT(DISTINCT "ResourceId") AS resources, SUM("EffectiveCost") AS effective
FROM focus
WHERE "AvailabilityZone" IS NOT NULL
GROUP BY "ProviderName", "SubAccountId", "RegionId", "AvailabilityZone", "BillingCurrency"
ORDER BY effective DESC, "SubAccountId", "AvailabilityZone"
