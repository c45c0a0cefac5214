#!/usr/bin/env python3
"""Reads a catalog's Parquet with DuckDB and compares it with `cloudops sql`.

    duckdb.py CATALOG_DIR CLOUDOPS_BIN     ask the binary, compare, exit 1 on a difference
    duckdb.py CATALOG_DIR --queries        print {table: query} for another to answer
    duckdb.py CATALOG_DIR --answers FILE   compare with its answers, {table: row}

The files are those the log names, read here from its JSON alone; their length,
hash and row count are checked too. Counts, nulls, integers, money, days and
instants must be equal; sums of floats may differ by the order of addition.
Needs duckdb 2.0.0 from PyPI.
"""

import hashlib
import json
import math
import pathlib
import subprocess
import sys
from decimal import Decimal

# This file's own folder comes first in the path, and the file has the module's name.
del sys.path[0]
import duckdb  # noqa: E402

TOLERANCE = 1e-9


def committed(catalog):
    """{table: [file record]} of all commits, in the order of the log."""
    tables = {}
    for path in sorted((catalog / "log").glob("*.json")):
        record = json.loads(path.read_text())
        if record["kind"] == "commit":
            for file in record["body"]["files"]:
                tables.setdefault(file["table"], []).append(file)
    return tables


def check_files(catalog, tables, connection):
    """Differences between the files and what the log says of them."""
    for files in tables.values():
        for file in files:
            path = catalog / file["path"]
            data = path.read_bytes()
            if len(data) != file["bytes"] or hashlib.sha256(data).hexdigest() != file["sha256"]:
                yield f"{file['path']}: not the bytes that were committed"
            query = "SELECT COUNT(*) FROM read_parquet(?)"
            (rows,) = connection.execute(query, [str(path)]).fetchone()
            if rows != file["rows"]:
                yield f"{file['path']}: {rows} rows, the log says {file['rows']}"


def measures(column, kind):
    """[(what, DuckDB's expression, cloudops' expression)] for a column of DuckDB's type."""
    name = f'"{column}"'
    same = lambda what, expression: (what, expression, expression)
    found = [same("values", f"COUNT({name})")]
    if kind == "VARCHAR":
        found += [same(what, f"{what}({name})") for what in ("MIN", "MAX")]
        found.append(same("distinct", f"COUNT(DISTINCT {name})"))
    elif kind == "BOOLEAN":
        found.append(same("true", f"SUM(CASE WHEN {name} THEN 1 ELSE 0 END)"))
    elif kind.startswith("TIMESTAMP"):
        for what in ("MIN", "MAX"):
            ours = f"CAST({what}({name}) AS BIGINT)"
            found.append((what, f"epoch_us({what}({name}))", ours))
    elif kind == "DATE":
        found += [same(what, f"CAST({what}({name}) AS VARCHAR)") for what in ("MIN", "MAX")]
    elif kind == "VARCHAR[]":
        found.append(same("elements", f"SUM(array_length({name}))"))
        found += [same(f"{what} of the first", f"{what}({name}[1])") for what in ("MIN", "MAX")]
    elif kind.endswith("[]"):
        found.append(same("elements", f"SUM(array_length({name}))"))
        found.append(same("first", f"SUM(CAST({name}[1] AS DOUBLE))"))
        found.append(same("third", f"SUM(CAST({name}[3] AS DOUBLE))"))
    elif kind in ("FLOAT", "DOUBLE"):
        found.append(same("sum", f"SUM(CAST({name} AS DOUBLE))"))
        found += [same(what, f"CAST({what}({name}) AS DOUBLE)") for what in ("MIN", "MAX")]
    elif kind == "BLOB":
        pass
    else:
        found += [same(what, f"{what}({name})") for what in ("SUM", "MIN", "MAX")]
    return found


def questions(catalog, tables, connection):
    """{table: (DuckDB's answers by name, cloudops' query)}"""
    asked = {}
    for table, files in tables.items():
        paths = [str(catalog / file["path"]) for file in files]
        columns = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [paths]).fetchall()
        found = [("rows", "COUNT(*)", "COUNT(*)")]
        for column, kind, *_ in columns:
            found += [(f"{column} {what}", a, b) for what, a, b in measures(column, kind)]
        theirs = ", ".join(expression for _, expression, _ in found)
        ours = ", ".join(f'{expression} AS "{name}"' for name, _, expression in found)
        row = connection.execute(f"SELECT {theirs} FROM read_parquet(?)", [paths]).fetchone()
        asked[table] = dict(zip((name for name, _, _ in found), row)), f"SELECT {ours} FROM {table}"
    return asked


def equal(theirs, ours):
    if theirs is None or ours is None:
        return theirs is ours
    if isinstance(theirs, float):
        return math.isclose(theirs, float(ours), rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    if isinstance(theirs, (int, Decimal)):
        return Decimal(theirs) == Decimal(ours)
    return theirs == ours


def ask(binary, catalog, query):
    command = [binary, "sql", "--catalog", str(catalog), "--format", "json", query]
    return parse(subprocess.run(command, check=True, capture_output=True, text=True).stdout)[0]


def parse(text):
    return json.loads(text, parse_float=Decimal)


def main(catalog, answerer, *rest):
    catalog = pathlib.Path(catalog)
    connection = duckdb.connect()
    tables = committed(catalog)
    asked = questions(catalog, tables, connection)
    if answerer == "--queries":
        print(json.dumps({table: query for table, (_, query) in asked.items()}))
        return 0
    differences = list(check_files(catalog, tables, connection))
    answers = parse(pathlib.Path(rest[0]).read_text()) if answerer == "--answers" else None
    for table, (theirs, query) in asked.items():
        ours = answers[table] if answers is not None else ask(answerer, catalog, query)
        for name, value in theirs.items():
            if not equal(value, ours[name]):
                differences.append(f"{table}, {name}: DuckDB {value!r}, cloudops {ours[name]!r}")
    for difference in differences:
        print(difference, file=sys.stderr)
    compared = sum(len(theirs) for theirs, _ in asked.values())
    print(f"duckdb {duckdb.__version__}: {len(asked)} tables, {compared} values compared, "
          f"{len(differences)} differences")
    return 1 if differences or not asked else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
