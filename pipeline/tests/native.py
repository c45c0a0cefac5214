#!/usr/bin/env python3
"""Sums a provider's own export with DuckDB, by a mapping to FOCUS told once more, and compares.

    native.py CLOUDOPS_BIN CATALOG_DIR aws|azure|azure-amortised CSV

What is summed: billed and effective cost and the number of charges, by service, category of charge and
status of a commitment. Needs duckdb 2.0.0 from PyPI.
"""

import json
import subprocess
import sys
from decimal import Decimal

# This file's own folder comes first in the path.
del sys.path[0]
import duckdb  # noqa: E402

AWS = """
    SELECT COALESCE("product/ProductName", "product/servicename", "lineItem/ProductCode") AS service,
           CASE WHEN type IN ('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage',
                              'SavingsPlanNegation') THEN 'Usage'
                WHEN type IN ('Fee', 'RIFee', 'SavingsPlanRecurringFee', 'SavingsPlanUpfrontFee')
                    THEN 'Purchase'
                WHEN type IN ('Tax', 'Credit') THEN type
                ELSE 'Adjustment' END AS category,
           CASE WHEN type IN ('DiscountedUsage', 'SavingsPlanCoveredUsage') THEN 'Used' END AS status,
           CASE WHEN type IN ('SavingsPlanCoveredUsage', 'SavingsPlanNegation') THEN 0
                ELSE due END AS billed,
           CASE type WHEN 'DiscountedUsage' THEN money("reservation/EffectiveCost")
                     WHEN 'SavingsPlanCoveredUsage' THEN money("savingsPlan/SavingsPlanEffectiveCost")
                     WHEN 'SavingsPlanNegation' THEN 0
                     WHEN 'SavingsPlanUpfrontFee' THEN 0
                     WHEN 'RIFee' THEN money("reservation/UnusedAmortizedUpfrontFeeForBillingPeriod")
                                     + money("reservation/UnusedRecurringFee")
                     WHEN 'SavingsPlanRecurringFee' THEN money("savingsPlan/TotalCommitmentToDate")
                                                       - money("savingsPlan/UsedCommitment")
                     ELSE due END AS effective
    FROM (SELECT *, "lineItem/LineItemType" AS type, money("lineItem/UnblendedCost") AS due FROM raw)"""

AZURE = """
    SELECT COALESCE(MeterCategory, ConsumedService) AS service,
           CASE WHEN ChargeType IN ('Usage', 'UnusedReservation', 'UnusedSavingsPlan') THEN 'Usage'
                WHEN ChargeType IN ('Purchase', 'Refund') THEN 'Purchase'
                ELSE ChargeType END AS category,
           CASE WHEN PricingModel NOT IN ('Reservation', 'SavingsPlan') THEN NULL
                WHEN ChargeType LIKE 'Unused%' THEN 'Unused'
                WHEN ChargeType = 'Usage' THEN 'Used' END AS status,
           CASE WHEN {amortised} AND status IS NOT NULL THEN 0 ELSE due END AS billed,
           CASE WHEN PricingModel IN ('Reservation', 'SavingsPlan') AND category = 'Purchase' THEN 0
                ELSE due END AS effective
    FROM (SELECT *, money({column}) AS due FROM raw)"""

(cloudops, catalog, kind, file) = sys.argv[1:]
connection = duckdb.connect()
connection.execute("CREATE MACRO money(text) AS CAST(text AS DECIMAL(38, 12))")
raw = connection.read_csv(file, all_varchar=True, na_values=[""], header=True)
connection.register("raw", raw)
column = "CostInBillingCurrency" if "CostInBillingCurrency" in raw.columns else "Cost"
mapped = AWS if kind == "aws" else AZURE.format(amortised=kind == "azure-amortised", column=column)
theirs = connection.sql(
    f"""SELECT service, category, status, SUM(billed), SUM(effective), COUNT(*)
        FROM ({mapped}) GROUP BY ALL"""
).fetchall()
query = """SELECT "ServiceName", "ChargeCategory", "CommitmentDiscountStatus",
                  SUM("BilledCost") AS billed, SUM("EffectiveCost") AS effective, COUNT(*) AS charges
           FROM focus GROUP BY "ServiceName", "ChargeCategory", "CommitmentDiscountStatus" """
command = [cloudops, "sql", "--catalog", catalog, "--format", "json", query]
answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
ours = [list(row.values()) for row in json.loads(answer, parse_float=Decimal)]


def told(rows):
    """Rows by what they are of, numbers as decimals."""
    return {tuple(row[:3]): [Decimal(number) for number in row[3:]] for row in rows}


ledger = """SELECT SUM(billed_cost) AS billed, SUM(effective_cost) AS effective, SUM(charges) AS charges
            FROM cost_daily"""
command = [cloudops, "sql", "--catalog", catalog, "--format", "json", ledger]
answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
totals = [Decimal(number) for number in json.loads(answer, parse_float=Decimal)[0].values()]
sums = [sum(numbers) for numbers in zip(*told(theirs).values())]
print(f"{kind}: {len(theirs)} groups, billed {sums[0]}, effective {sums[1]}, {sums[2]} charges")
for key in sorted(told(theirs).keys() | told(ours).keys(), key=str):
    if told(theirs).get(key) != told(ours).get(key):
        print(f"{key}: {told(ours).get(key)}, DuckDB has {told(theirs).get(key)}")
sys.exit(told(theirs) != told(ours) or totals != sums)
