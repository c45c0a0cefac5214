-- How does the use of each kind of resource change from month to month?
WITH monthly AS (
    SELECT CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE) AS month, "ProviderName",
           "ServiceName", "ConsumedUnit",
           SUM("ConsumedQuantity") AS consumed
    FROM focus
    WHERE "ChargeCategory" = 'Usage' AND "ConsumedUnit" IS NOT NULL
    GROUP BY CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE), "ProviderName", "ServiceName",
             "ConsumedUnit"
)
SELECT month, "ProviderName", "ServiceName", "ConsumedUnit", consumed,
       consumed - LAG(consumed) OVER (
           PARTITION BY "ProviderName", "ServiceName", "ConsumedUnit" ORDER BY month) AS change
FROM monthly
ORDER BY month, "ProviderName", "ServiceName", "ConsumedUnit"
