"""The files of deploy/ that are tested, and what they ask Prometheus for."""

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
GRAFANA = ROOT / "deploy/grafana"
RULES = sorted((PROMETHEUS / "rules").glob("*.yaml"))
SELECTOR = re.compile(r"\b((?:sinkstream|process)_\w+|up\b)(\{[^}]*\})?")


def rules(kind: str) -> list[dict]:
    """Those that record (`record`), or those that warn (`alert`)."""
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def rule_tests() -> list[dict]:
    files = sorted((PROMETHEUS / "tests").glob("*.yaml"))
    return [test for file in files for test in yaml.safe_load(file.read_text())["tests"]]


def dashboards() -> dict[str, dict]:
    return {file.stem: json.loads(file.read_text()) for file in sorted((GRAFANA / "dashboards").glob("*.json"))}


def panels(dashboard: dict) -> list[dict]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def selectors(expression: str) -> list[str]:
    """The server's series that an expression names, as they are selected there; what a rule has recorded is none of them."""
    return ["".join(found) for found in SELECTOR.findall(expression)]
