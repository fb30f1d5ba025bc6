"""The dashboards and alert rules in config/, and what Grafana makes of their queries before it sends them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CONFIG = Path(__file__).parents[2] / "config"
GRAFANA = CONFIG / "grafana"
RULES = CONFIG / "prometheus" / "weir.rules.yml"
OPERATIONS = GRAFANA / "dashboards" / "weir-operations.json"
LOGS = GRAFANA / "dashboards" / "weir-logs.json"

METRIC = re.compile(r"\b(?:(?:loki|weir|process)_\w+|up)\b(?:\{[^}]*\})?")
MATCHED = re.compile(r"(\w+)(?:=~|!~|!=|=)")
GROUPS = re.compile(r"\bby \(([^)]*)\)")
LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")
VARIABLE = re.compile(r"\$\{?(\w+)(?::raw)?\}?")


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel, as it stands in the file."""

    panel: str
    expr: str
    legend: str
    instant: bool


def read(path: Path) -> dict[str, Any]:
    board: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return board


def panels(path: Path) -> list[dict[str, Any]]:
    """Those that draw something."""
    return [panel for panel in read(path)["panels"] if panel["type"] != "row"]


def queries(path: Path) -> list[Query]:
    return [_query(panel["title"], target) for panel in panels(path) for target in panel["targets"]]


def _query(title: str, target: Mapping[str, Any]) -> Query:
    instant = bool(target.get("instant")) or target.get("queryType") == "instant"
    return Query(title, target["expr"], target.get("legendFormat", ""), instant)


def variables(path: Path) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in read(path)["templating"]["list"]}


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with a dashboard's variables and Grafana's own replaced. Raises KeyError for one that there is not."""
    return VARIABLE.sub(lambda found: values[found[1]], text)


def alerts() -> dict[str, dict[str, Any]]:
    """Rules by their names."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}
