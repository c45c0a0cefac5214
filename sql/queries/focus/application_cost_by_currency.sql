-- What is charged to each application in each currency and service? Currencies are never added up.
SELECT tag("Tags", 'application') AS application, "BillingCurrency", "ServiceName",
       SUM("EffectiveCost") AS effective
FROM focus
WHERE tag("Tags", 'application') IS NOT NULL
GROUP BY tag("Tags", 'application'), "BillingCurrency", "ServiceName"
ORDER BY application, "BillingCurrency", effective DESC, "ServiceName"
