-- What part of compute cost is used reserved capacity, unused reserved capacity, and neither?
SELECT "ProviderName", "BillingCurrency",
       COALESCE("CapacityReservationStatus", 'None') AS reservation,
       SUM("EffectiveCost") AS effective, COUNT(*) AS charges
FROM focus
WHERE "ServiceCategory" = 'Compute' AND "ChargeCategory" = 'Usage'
GROUP BY "ProviderName", "BillingCurrency", COALESCE("CapacityReservationStatus", 'None')
ORDER BY "ProviderName", "BillingCurrency", reservation
