-- Of which kinds of charges does each invoice consist?
SELECT "InvoiceId", "BillingCurrency", "ChargeCategory", "ChargeClass", SUM("BilledCost") AS billed
FROM focus
GROUP BY "InvoiceId", "BillingCurrency", "ChargeCategory", "ChargeClass"
ORDER BY "InvoiceId", "BillingCurrency", "ChargeCategory", "ChargeClass"
