-- What does each target owe for each month: its own costs, its shares of what rules divide, and both as a
-- part of the bill? What has no target, and what nobody shares, is a row of its own.
SELECT source, allocation, billing_account, month, currency, target,
       COALESCE(SUM(effective_cost) FILTER (WHERE rule = 'direct'), 0) AS direct,
       COALESCE(SUM(effective_cost) FILTER (WHERE rule <> 'direct'), 0) AS shared,
       SUM(effective_cost) AS total,
       CAST(SUM(effective_cost) AS DOUBLE)
           / NULLIF(CAST(SUM(SUM(effective_cost)) OVER bill AS DOUBLE), 0) AS part
FROM cost_allocations
GROUP BY source, allocation, billing_account, month, currency, target
WINDOW bill AS (PARTITION BY source, allocation, billing_account, month, currency)
ORDER BY source, allocation, billing_account, month, currency, total DESC, target
