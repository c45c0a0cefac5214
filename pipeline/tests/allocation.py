#!/usr/bin/env python3
"""Allocates a bill's own file with DuckDB, by the rules of allocation.rs told once more, and compares.

    allocation.py CLOUDOPS_BIN CATALOG_DIR CSV

Direct and shared sums come from DuckDB over the raw rows. A share must be less than a unit of the last
decimal off the exact fraction, and shares must sum to what is shared. Needs duckdb 2.0.0 from PyPI.
"""

import json
import subprocess
import sys
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

# This file's own folder comes first in the path.
del sys.path[0]
import duckdb  # noqa: E402

UNIT = Fraction(1, 10**12)
MEASURES = ("billed", "effective")
CHARGES = """
    SELECT *, CASE WHEN service IN ('AWS Support (Business)', 'AmazonCloudWatch') THEN 'support'
                   WHEN service IN ('Amazon Virtual Private Cloud', 'Elastic Load Balancing')
                        AND environment = 'dev' THEN 'network'
                   WHEN application IS NULL THEN 'untagged'
                   ELSE 'direct' END AS rule
    FROM (SELECT BillingAccountId AS payer, BillingCurrency AS currency, ServiceName AS service,
                 date_trunc('month', CAST(ChargePeriodStart AS TIMESTAMP))::DATE::VARCHAR AS month,
                 NULLIF(json_extract_string(Tags, '$.application'), '') AS application,
                 json_extract_string(Tags, '$.environment') AS environment,
                 CAST(BilledCost AS DECIMAL(38, 12)) AS billed,
                 CAST(EffectiveCost AS DECIMAL(38, 12)) AS effective FROM raw)"""
# Who shares, and by which weights, given direct costs.
SPLITS = {
    "support": lambda direct: {target: cost for target, cost in direct.items() if cost > 0},
    "network": lambda direct: {target: 1 for target, cost in direct.items() if cost != 0},
    "untagged": lambda _: {"BrightPathMatrix": 2, "nobody": Fraction(1, 2)},
}

(cloudops, catalog, file) = sys.argv[1:]


def ask(query):
    command = [cloudops, "sql", "--catalog", catalog, "--format", "json", query]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(answer, parse_float=Decimal)


connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
connection.register(
    "raw", connection.read_csv(file, all_varchar=True, na_values=["", "NULL"], header=True)
)
connection.execute(f"CREATE TABLE charge AS {CHARGES}")
shared, direct = defaultdict(dict), defaultdict(dict)
for *month, rule, application, billed, effective in connection.sql(
    """SELECT payer, month, currency, rule, CASE rule WHEN 'direct' THEN application END,
              SUM(billed), SUM(effective) FROM charge GROUP BY ALL"""
).fetchall():
    for measure, amount in zip(MEASURES, (billed, effective)):
        of = (*month, measure)
        if rule == "direct":
            direct[of][application] = Fraction(amount)
        else:
            shared[of][rule] = Fraction(amount)
expected = {}
for of in direct.keys() | shared.keys():
    own = direct[of]
    for target, amount in own.items():
        expected[(*of, "direct", target)] = amount
    for rule, amount in shared[of].items():
        weights = SPLITS[rule](own)
        if not weights:
            expected[(*of, rule, None)] = amount
        for target, weight in weights.items():
            expected[(*of, rule, target)] = amount * weight / sum(weights.values())
ours, wrong = {}, []
for row in ask("SELECT * FROM cost_allocations WHERE allocation = 'applications'"):
    for measure in MEASURES:
        of = (row["billing_account"], row["month"], row["currency"], measure)
        ours[(*of, row["rule"], row["target"])] = Fraction(Decimal(row[f"{measure}_cost"]))
for key in expected.keys() | ours.keys():
    off = abs(ours.get(key, 0) - expected.get(key, 0))
    if off >= UNIT or (off and key[4] == "direct"):
        wrong.append(f"{key}: {ours.get(key)}, DuckDB has {expected.get(key)}")
# Rule by rule, and so all together, the sums are exact.
for of in expected.keys() | ours.keys():
    sums = [sum(v for key, v in side.items() if key[:5] == of[:5]) for side in (ours, expected)]
    if sums[0] != sums[1]:
        wrong.append(f"{of[:5]}: {sums[0]} in all, DuckDB has {sums[1]}")
# By service, where no rule is, the allocation is a sum.
theirs = connection.sql(
    "SELECT payer, month, currency, service, SUM(billed), SUM(effective) FROM charge GROUP BY ALL"
).fetchall()
theirs = {tuple(row[:4]): tuple(map(Decimal, row[4:])) for row in theirs if any(row[4:])}
rows = ask("SELECT * FROM cost_allocations WHERE allocation = 'services'")
found = {
    (row["billing_account"], row["month"], row["currency"], row["target"]): (
        Decimal(row["billed_cost"]),
        Decimal(row["effective_cost"]),
    )
    for row in rows
}
if found != theirs:
    wrong.append(f"by service: {set(found.items()) ^ set(theirs.items())}")
divided = sum(key[4] != "direct" and key[5] is not None for key in ours)
print(f"{len(expected)} amounts, {divided} of them shares, {len(theirs)} by service")
print("\n".join(wrong[:20]))
sys.exit(bool(wrong) or not divided)
