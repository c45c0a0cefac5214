-- Which reserved capacity stood unused, and what did it cost?
SELECT "ProviderName", "BillingAccountId", "CapacityReservationId", "RegionId", "BillingCurrency",
       SUM("BilledCost") AS billed, SUM("EffectiveCost") AS effective
FROM focus
WHERE "CapacityReservationStatus" = 'Unused'
GROUP BY "ProviderName", "BillingAccountId", "CapacityReservationId", "RegionId",
         "BillingCurrency"
ORDER BY effective DESC, "CapacityReservationId"
