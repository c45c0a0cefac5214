-- What did negotiated prices and commitments save against list prices, by service?
SELECT "ProviderName", "ServiceName", "BillingCurrency",
       SUM("ListCost") AS list, SUM("ContractedCost") AS contracted,
       SUM("EffectiveCost") AS effective,
       SUM("ListCost") - SUM("ContractedCost") AS saved_by_contract,
       SUM("ContractedCost") - SUM("EffectiveCost") AS saved_by_commitment
FROM focus
WHERE "ChargeCategory" = 'Usage' AND "ListCost" IS NOT NULL AND "ContractedCost" IS NOT NULL
GROUP BY "ProviderName", "ServiceName", "BillingCurrency"
ORDER BY list DESC, "ServiceName"
