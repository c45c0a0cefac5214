-- What was corrected of billing periods that had been invoiced before?
SELECT CAST(DATE_TRUNC('month', "BillingPeriodStart") AS DATE) AS billing_month,
       CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE) AS charge_month, "ProviderName",
       "BillingAccountId",
       "ChargeCategory", "ServiceName", "BillingCurrency",
       SUM("BilledCost") AS billed, SUM("EffectiveCost") AS effective
FROM focus
WHERE "ChargeClass" = 'Correction'
GROUP BY CAST(DATE_TRUNC('month', "BillingPeriodStart") AS DATE),
         CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE), "ProviderName", "BillingAccountId",
         "ChargeCategory", "ServiceName", "BillingCurrency"
ORDER BY billing_month, charge_month, "ServiceName"
