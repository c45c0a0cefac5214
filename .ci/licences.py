"""Checks the dependency tree against .deny.toml: licences, and crates that may exist only once."""

import collections
import json
import re
import subprocess
import sys
import tomllib

with open(".deny.toml", "rb") as f:
    rules = tomllib.load(f)
allowed = set(rules["licenses"]["allow"])
clarified = {entry["crate"]: entry["expression"] for entry in rules["licenses"].get("clarify", [])}
metadata = json.loads(
    subprocess.check_output(
        ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"]
    )
)
used = {node["id"] for node in metadata["resolve"]["nodes"]}
packages = [package for package in metadata["packages"] if package["id"] in used]


def satisfied(expression):
    """An SPDX expression: OR of ANDs, parentheses only around an OR inside an AND."""
    expression = expression.replace("/", " OR ")
    for group in re.findall(r"\(([^()]*)\)", expression):
        word = "@yes" if satisfied(group) else "@no"
        expression = expression.replace(f"({group})", word)
    one = lambda term: term == "@yes" or term in allowed
    return any(all(one(term.strip()) for term in part.split(" AND ")) for part in expression.split(" OR "))


problems = []
versions = collections.defaultdict(set)
for package in packages:
    versions[package["name"]].add(package["version"])
    licence = clarified.get(package["name"], package["license"])
    if not licence or not satisfied(licence):
        problems.append(f"{package['name']} {package['version']}: licence {licence!r} is not in .deny.toml")
for name in rules["bans"]["deny-multiple-versions"]:
    if len(versions[name]) > 1:
        problems.append(f"{name} is there in several versions: {', '.join(sorted(versions[name]))}")
print("\n".join(problems) or f"licences of {len(packages)} packages are allowed, and none is there twice that may not be")
sys.exit(bool(problems))
