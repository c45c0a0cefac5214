-- What is spent on each category of service, and on each kind of service within it?
SELECT "ProviderName", "BillingCurrency", "ServiceCategory", "ServiceSubcategory",
       SUM("BilledCost") AS billed, SUM("EffectiveCost") AS effective
FROM focus
GROUP BY "ProviderName", "BillingCurrency", "ServiceCategory", "ServiceSubcategory"
ORDER BY effective DESC, "ServiceCategory", "ServiceSubcategory"
