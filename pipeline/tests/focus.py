#!/usr/bin/env python3
"""Asks `cloudops sql` and DuckDB the questions of FOCUS's use cases, and compares the answers.

    focus.py answers CLOUDOPS_BIN CATALOG_DIR QUERIES_DIR CSV...
    focus.py parquet CSV OUT

DuckDB reads the bill's own files: its view `focus` is nothing but their columns, cast. So one text asks
both. Money, counts, days and text must be equal; shares and rates, which are floats, may differ by the
order of addition. Needs duckdb 2.0.0 from PyPI.
"""

import datetime
import json
import math
import pathlib
import subprocess
import sys
from decimal import Decimal

# This file's own folder comes first in the path.
del sys.path[0]
import duckdb  # noqa: E402

TEXTS = """AvailabilityZone BillingAccountId BillingAccountName BillingAccountType BillingCurrency
CapacityReservationId CapacityReservationStatus ChargeCategory ChargeClass ChargeDescription
ChargeFrequency CommitmentDiscountCategory CommitmentDiscountId CommitmentDiscountName
CommitmentDiscountStatus CommitmentDiscountType CommitmentDiscountUnit ConsumedUnit InvoiceId
InvoiceIssuerName PricingCategory PricingCurrency PricingUnit ProviderName PublisherName RegionId
RegionName ResourceId ResourceName ResourceType ServiceCategory ServiceName ServiceSubcategory SkuId
SkuMeter SkuPriceDetails SkuPriceId SubAccountId SubAccountName SubAccountType Tags""".split()
AMOUNTS = """BilledCost CommitmentDiscountQuantity ConsumedQuantity ContractedCost ContractedUnitPrice
EffectiveCost ListCost ListUnitPrice PricingQuantity""".split()
INSTANTS = "BillingPeriodEnd BillingPeriodStart ChargePeriodEnd ChargePeriodStart".split()
TYPES = (
    dict.fromkeys(TEXTS, "VARCHAR")
    | dict.fromkeys(AMOUNTS, "DECIMAL(38, 12)")
    | dict.fromkeys(INSTANTS, "TIMESTAMP")
)

# What our views are held against, told in another way than theirs.
VIEWS = {
    "commitment_utilisation": """
        WITH told AS (
            SELECT *, date_trunc('month', ChargePeriodStart)::DATE AS month FROM focus
            WHERE CommitmentDiscountId IS NOT NULL)
        SELECT month, ProviderName AS provider, BillingAccountId AS billing_account,
               CommitmentDiscountId AS commitment, MAX(CommitmentDiscountName) AS commitment_name,
               MAX(CommitmentDiscountType) AS commitment_type,
               MAX(CommitmentDiscountCategory) AS commitment_category, BillingCurrency AS currency,
               SUM(CASE ChargeCategory WHEN 'Purchase' THEN BilledCost ELSE 0 END) AS purchased,
               SUM(CASE CommitmentDiscountStatus WHEN 'Used' THEN EffectiveCost ELSE 0 END) AS used,
               SUM(CASE CommitmentDiscountStatus WHEN 'Unused' THEN EffectiveCost ELSE 0 END) AS unused,
               CASE WHEN used + unused = 0 THEN NULL
                    ELSE used::DOUBLE / (used + unused)::DOUBLE END AS utilisation,
               SUM(CASE CommitmentDiscountStatus WHEN 'Used' THEN ListCost END) AS list_cost
        FROM told GROUP BY ALL""",
    "commitment_coverage": """
        WITH told AS (
            SELECT *, date_trunc('month', ChargePeriodStart)::DATE AS month,
                   CommitmentDiscountId IS NOT NULL AS with_one,
                   COALESCE(CommitmentDiscountStatus, '') = 'Unused' AND with_one AS idle
            FROM focus WHERE ChargeCategory = 'Usage')
        SELECT month, ProviderName AS provider, ServiceName AS service, BillingCurrency AS currency,
               SUM(CASE WHEN with_one AND NOT idle THEN EffectiveCost ELSE 0 END) AS covered,
               SUM(CASE WHEN NOT with_one THEN EffectiveCost ELSE 0 END) AS uncovered,
               SUM(CASE WHEN idle THEN EffectiveCost ELSE 0 END) AS unused,
               CASE WHEN covered + uncovered = 0 THEN NULL
                    ELSE covered::DOUBLE / (covered + uncovered)::DOUBLE END AS coverage,
               CASE WHEN SUM(CASE WHEN NOT idle THEN ListCost END) = 0 THEN NULL
                    ELSE SUM(CASE WHEN with_one AND NOT idle THEN ListCost ELSE 0 END)::DOUBLE
                         / SUM(CASE WHEN NOT idle THEN ListCost END)::DOUBLE END AS list_coverage
        FROM told GROUP BY ALL""",
}


def casts(present, cast):
    """The columns of FOCUS in a file that has some of them."""
    for name, kind in TYPES.items():
        column = f'"{name}"' if name in present else "NULL"
        yield f'{cast}({column} AS {kind}) AS "{name}"'


def raw(connection, files):
    """The files as text, and their columns; what stands for nothing is nothing."""
    texts = connection.read_csv(
        files, all_varchar=True, na_values=["", "NULL"], header=True, union_by_name=True
    )
    connection.register("raw", texts)
    return texts.columns


def plain(value):
    """A value in the form in which both answers are compared."""
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    return value


def same(theirs, ours):
    if isinstance(theirs, float):
        return ours is not None and math.isclose(theirs, float(ours), rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(theirs, bool):
        return theirs is ours
    if isinstance(theirs, (int, Decimal)):
        return ours is not None and Decimal(theirs) == Decimal(ours)
    return theirs == ours


def order(row):
    """What rows are matched by: all but floats."""
    return [(value is None, str(value)) for value in row if not isinstance(value, float)]


def exact(row, kinds):
    """Our row with numbers that are no floats as decimals."""
    return [
        Decimal(value) if value is not None and kind.startswith("DECIMAL") else
        float(value) if value is not None and kind == "DOUBLE" else
        int(value) if value is not None and kind in ("BIGINT", "HUGEINT", "INTEGER") else value
        for value, kind in zip(row, kinds)
    ]


def scaled(row):
    """Decimals of one value are written in one way."""
    return [
        value.normalize() + 0 if isinstance(value, Decimal) else value for value in row
    ]


def compare(connection, cloudops, catalog, name, theirs, ours):
    """One question to both; gives what differs, and the rows of the answer."""
    relation = connection.sql(theirs)
    kinds = [str(kind) for kind in relation.types]
    columns = relation.columns
    rows = [scaled([plain(value) for value in row]) for row in relation.fetchall()]
    command = [cloudops, "sql", "--catalog", catalog, "--format", "json", "--", ours]
    output = subprocess.run(command, capture_output=True, text=True)
    if output.returncode:
        return f"{name}: {output.stderr.strip()}", 0
    answer = json.loads(output.stdout, parse_float=Decimal)
    if answer and list(answer[0]) != columns:
        return f"{name}: columns {list(answer[0])}, DuckDB has {columns}", 0
    found = [scaled(exact(row.values(), kinds)) for row in answer]
    if len(found) != len(rows):
        return f"{name}: {len(found)} rows, DuckDB has {len(rows)}", 0
    for their, our in zip(sorted(rows, key=order), sorted(found, key=order)):
        if not all(map(same, their, our)):
            return f"{name}: {our}, DuckDB has {their}", 0
    return None, len(rows)


def answers(cloudops, catalog, queries, *files):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    present = raw(connection, list(files))
    connection.execute(f"CREATE TABLE focus AS SELECT {', '.join(casts(present, 'CAST'))} FROM raw")
    connection.execute(
        """CREATE MACRO tag(tags, name) AS json_extract_string(tags, '$."' || name || '"')"""
    )
    questions = {
        path.stem: (text := path.read_text(), text)
        for path in sorted(pathlib.Path(queries).glob("*.sql"))
    }
    questions |= {f"view {name}": (theirs, f"SELECT * FROM {name}") for name, theirs in VIEWS.items()}
    wrong, answered = [], 0
    for name, (theirs, ours) in questions.items():
        difference, rows = compare(connection, cloudops, catalog, name, theirs, ours)
        print(f"{name}: {rows} rows" if difference is None else difference)
        wrong += [difference] if difference else []
        answered += rows > 0
    print(f"{len(questions)} questions, {answered} with rows, {len(wrong)} differ")
    sys.exit(bool(wrong))


def parquet(file, out):
    connection = duckdb.connect()
    present = raw(connection, [file])
    kept = [name for name in present if name not in TYPES]
    columns = [*casts(present, "CAST"), *(f'"{name}"' for name in kept)]
    connection.execute(f"COPY (SELECT {', '.join(columns)} FROM raw) TO '{out}' (FORMAT parquet)")


{"answers": answers, "parquet": parquet}[sys.argv[1]](*sys.argv[2:])
