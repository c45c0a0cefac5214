#!/usr/bin/env python3
"""Reads every version of every Delta table with Polars and DuckDB.

    delta.py DATA_DIR SEEN_DIR

SEEN_DIR holds what `cloudops sql` showed after each publication, `<table>-<step>.parquet`. A version
must be what was seen at one of the steps, in order; the first, which only declares the table, is empty.
Count and SHA-256 of the rows are compared, in any order of rows. Needs duckdb, polars and deltalake.
"""

import hashlib
import pathlib
import sys

# This file's own folder comes first in the path, and may hold files of a module's name.
del sys.path[0]
import duckdb  # noqa: E402
import polars  # noqa: E402
from deltalake import DeltaTable  # noqa: E402


def digest(rows):
    """Count and hash of rows in any order."""
    texts = sorted(map(repr, rows))
    return len(texts), hashlib.sha256("\n".join(texts).encode()).hexdigest()


def by_duckdb(files):
    """The rows of Parquet files."""
    if not files:
        return digest([])
    return digest(duckdb.sql(f"SELECT * FROM read_parquet({files!r})").fetchall())


def check(table, seen):
    """Number of versions; exits where one is not what was seen."""
    steps = sorted(seen.glob(f"{table.name}-*.parquet"), key=lambda path: int(path.stem.rsplit("-")[-1]))
    empty = digest([])
    wanted_polars = [empty] + [digest(polars.read_parquet(path).rows()) for path in steps]
    wanted_duckdb = [empty] + [by_duckdb([str(path)]) for path in steps]
    last = DeltaTable(table).version()
    at = 0
    for version in range(last + 1):
        delta = DeltaTable(table, version=version)
        found = digest(polars.scan_delta(str(table), version=version).collect().rows())
        while at < len(wanted_polars) and wanted_polars[at] != found:
            at += 1
        if at == len(wanted_polars):
            sys.exit(f"{table.name} version {version}: Polars reads {found}, seen {wanted_polars}")
        files = [uri.removeprefix("file://") for uri in delta.file_uris()]
        if by_duckdb(files) != wanted_duckdb[at]:
            sys.exit(f"{table.name} version {version}: DuckDB reads other rows than Polars")
    if found != wanted_polars[-1]:
        sys.exit(f"{table.name}: the last version is not what was seen last")
    return last + 1


def main():
    data, seen = map(pathlib.Path, sys.argv[1:])
    versions = {table.name: check(table, seen) for table in sorted(data.iterdir())}
    print(f"{sum(versions.values())} versions of {len(versions)} tables agree: {versions}")


main()
