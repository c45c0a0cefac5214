"""Sums of the public FOCUS 1.0 sample by service, in exact decimals.

    python focus.py DATASETS > focus.json
"""
import csv
import json
import sys
from collections import defaultdict
from decimal import Decimal, getcontext

getcontext().prec = 60
totals = {"BilledCost": defaultdict(Decimal), "EffectiveCost": defaultdict(Decimal)}
with open(f"{sys.argv[1]}/focus_1_0/focus_sample_aws.csv", newline="", encoding="utf-8") as file:
    for row in csv.DictReader(file):
        for column, sums in totals.items():
            sums[row["ServiceName"]] += Decimal(row[column])
out = {
    column: {service: str(int(total.scaleb(12))) for service, total in sorted(sums.items())}
    for column, sums in totals.items()
}
json.dump(out, sys.stdout, indent=1)
print()
