-- How much of the cost carries the tag by which it is allocated?
SELECT "ProviderName", "BillingCurrency",
       COALESCE(SUM("EffectiveCost") FILTER (WHERE tag("Tags", 'environment') IS NOT NULL), 0)
           AS tagged,
       COALESCE(SUM("EffectiveCost") FILTER (WHERE tag("Tags", 'environment') IS NULL), 0)
           AS untagged,
       CAST(COUNT(*) FILTER (WHERE tag("Tags", 'environment') IS NOT NULL) AS DOUBLE) / COUNT(*)
           AS share_of_charges
FROM focus
WHERE "ChargeCategory" = 'Usage'
GROUP BY "ProviderName", "BillingCurrency"
ORDER BY "ProviderName", "BillingCurrency"
