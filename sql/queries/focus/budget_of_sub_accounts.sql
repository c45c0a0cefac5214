-- Which sub-accounts are over budget? Put your budgets, a month each, in place of those given.
WITH budget AS (
    SELECT * FROM (VALUES ('team-a', 'USD', 100), ('team-b', 'EUR', 50), ('team-c', 'USD', 1000))
        AS given (sub_account, currency, budget)
), spent AS (
    SELECT CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE) AS month, "SubAccountId",
           "BillingCurrency", SUM("BilledCost") AS billed
    FROM focus
    GROUP BY CAST(DATE_TRUNC('month', "ChargePeriodStart") AS DATE), "SubAccountId",
             "BillingCurrency"
)
SELECT spent.month, spent."SubAccountId", spent."BillingCurrency", spent.billed, budget.budget,
       spent.billed > budget.budget AS over
FROM spent JOIN budget
  ON budget.sub_account = spent."SubAccountId" AND budget.currency = spent."BillingCurrency"
ORDER BY spent.month, spent."SubAccountId"
