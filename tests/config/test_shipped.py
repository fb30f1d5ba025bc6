"""What config/ has for Grafana and Prometheus, against a running server: every metric, label and query is there.

The tests with a real Prometheus need prometheus and promtool: `apt-get install --no-install-recommends prometheus`.
Without them they are skipped and say so; in CI they fail.
"""

from __future__ import annotations

import math
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from tests.config.boards import (
    GROUPS,
    LEGEND,
    LOGS,
    MATCHED,
    METRIC,
    OPERATIONS,
    RULES,
    Query,
    alerts,
    filled,
    panels,
    queries,
    variables,
)
from tests.config.traffic import CLIENT, LEVELS, TENANT, busy_server, get, lines, push, traffic
from tests.server import ServerProcess, wait_until

HERE = Path(__file__).parent
SCRAPE = RULES.parent / "scrape.yml"
TIMES = {"__rate_interval": "1m", "__range": "1h", "__auto": "1m"}
EVERYTHING = {"job": ".*", "instance": ".*", "tenant": ".*"} | TIMES


def installed(name: str) -> str:
    """Where a program of Debian's prometheus is. In CI it has to be there."""
    found = shutil.which(name)
    if found is None:
        message = f"{name} is not installed: apt-get install --no-install-recommends prometheus"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shipped")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    """It has done something of everything once."""
    with busy_server(folder) as process:
        traffic(process, folder)
        yield process


class Prometheus:
    """A real Prometheus that reads the server's /metrics twice a second, under the job `weir`."""

    def __init__(self, folder: Path, server: ServerProcess) -> None:
        config = yaml.safe_load(SCRAPE.read_text(encoding="utf-8"))
        config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
        config["rule_files"] = [str(RULES)]
        config["scrape_configs"][0]["static_configs"] = [{"targets": [urlsplit(server.url).netloc]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Takes a port that is free now; another process may be faster, so there is more than one try."""
        program = installed("prometheus")
        for _ in range(5):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                address = f"127.0.0.1:{probe.getsockname()[1]}"
            with (self._folder / "prometheus.log").open("wb") as log:
                self._process = process = subprocess.Popen(
                    [
                        program,
                        f"--config.file={self._folder / 'prometheus.yml'}",
                        f"--storage.tsdb.path={self._folder / 'tsdb'}",
                        f"--web.listen-address={address}",
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            self.url = f"http://{address}"
            if wait_until(lambda p=process: p.poll() is not None or self.ready(), 60) and process.poll() is None:  # type: ignore[misc]
                return
        raise AssertionError((self._folder / "prometheus.log").read_text())

    def ready(self) -> bool:
        try:
            return CLIENT.get(f"{self.url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The vector of an instant query; a scalar as a vector of one. Raises AssertionError with what is wrong."""
        answer = CLIENT.post(f"{self.url}/api/v1/query", data={"query": expr}).json()
        assert answer["status"] == "success", (expr, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found if answer["data"]["resultType"] == "vector" else [{"metric": {}, "value": found}]

    def scrapes(self) -> int:
        """How often the server was read."""
        found = self.query('count_over_time(up{job="weir"}[10m])')
        return int(found[0]["value"][1]) if found else 0

    def wait_for_scrapes(self, count: int) -> None:
        """Until it was read so many times more."""
        before = self.scrapes()
        assert wait_until(lambda: self.scrapes() >= before + count, 60)


@pytest.fixture(scope="module")
def prometheus(folder: Path, server: ServerProcess) -> Iterator[Prometheus]:
    """It has seen the server before and after a second round of everything, so that rates are over something."""
    running = Prometheus(folder, server)
    running.start()
    try:
        running.wait_for_scrapes(2)
        traffic(server, folder)
        running.wait_for_scrapes(2)
        yield running
    finally:
        running.stop()


def shown(found: list[dict[str, Any]]) -> list[float]:
    """The numbers of a result that are some."""
    return [value for item in found if not math.isnan(value := float(item["value"][1]))]


def has_label(prometheus: Prometheus, selector: str, label: str) -> bool:
    """Whether a series of the selector has the label. A matcher as `tenant=~".*"` takes those without it too."""
    begun = selector[:-1] + ", " if selector.endswith("}") else selector + "{"
    return bool(prometheus.query(f'{begun}{label}!=""}}'))


def missing(prometheus: Prometheus, expr: str) -> list[str]:
    """What of a query's metrics, labels and labels' values the server does not have."""
    selectors = METRIC.findall(expr)
    assert selectors, expr
    found = [selector for selector in selectors if not prometheus.query(selector)]
    for selector in selectors:
        labels = MATCHED.findall(selector.partition("{")[2])
        found += [f"{label} of {selector}" for label in labels if not has_label(prometheus, selector, label)]
    for group in GROUPS.findall(expr):
        for label in group.split(", "):
            if not any(has_label(prometheus, selector, label) for selector in selectors):
                found.append(f"{label} in {expr}")
    return found


@pytest.mark.parametrize("query", queries(OPERATIONS), ids=lambda query: query.panel)
def test_every_query_of_the_operations_dashboard_has_its_metrics_and_a_result(
    prometheus: Prometheus, query: Query
) -> None:
    expr = filled(query.expr, EVERYTHING)
    assert missing(prometheus, expr) == []
    found = prometheus.query(expr)
    assert shown(found), (expr, found)
    for label in LEGEND.findall(query.legend):
        assert [item["metric"] for item in found if not item["metric"].get(label)] == [], query.legend


def test_the_variables_of_the_operations_dashboard_have_values(prometheus: Prometheus, server: ServerProcess) -> None:
    wanted = {"job": ["weir"], "instance": [urlsplit(server.url).netloc], "tenant": [TENANT]}
    found = {name: v["query"]["query"] for name, v in variables(OPERATIONS).items() if v["type"] == "query"}
    assert found.keys() == wanted.keys()
    for name, text in found.items():
        selector, label = text.removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
        values = {item["metric"].get(label) for item in prometheus.query(filled(selector, EVERYTHING))}
        assert values >= set(wanted[name]), text


def test_what_the_server_does_not_have_is_seen(prometheus: Prometheus) -> None:
    none = 'loki_discarded_samples_total{reason="none"}'
    assert missing(prometheus, "weir_no_such_metric") == ["weir_no_such_metric"]
    assert missing(prometheus, 'weir_blocks{tenant=~".*"}') == ['tenant of weir_blocks{tenant=~".*"}']
    assert missing(prometheus, none) == [none, f"reason of {none}"]
    assert missing(prometheus, "sum by (level) (weir_blocks)") == ["level in sum by (level) (weir_blocks)"]


@pytest.mark.parametrize("name", list(alerts()))
def test_every_alert_asks_for_metrics_and_labels_that_are_there(prometheus: Prometheus, name: str) -> None:
    assert missing(prometheus, alerts()[name]["expr"]) == []


def test_prometheus_takes_the_rules_and_those_for_a_full_disk_wait(prometheus: Prometheus) -> None:
    def states() -> dict[str, str]:
        groups = CLIENT.get(f"{prometheus.url}/api/v1/rules").json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert [rule for rule in rules if rule["health"] == "err"] == []
        return {rule["name"]: rule["state"] for rule in rules}

    # The server's disk was full twice, as far as it could tell, and a tenant is over its limit.
    wanted = {"WeirWalFails", "WeirRefusesPushes", "WeirRateLimited", "WeirLinesRefused"}
    assert wait_until(lambda: all(states()[name] in ("pending", "firing") for name in wanted), 30), states()
    quiet = {"WeirDown", "WeirBlocksSetAside", "WeirClockAhead", "WeirOverridesNotLoaded", "WeirPanics"}
    assert {name: states()[name] for name in quiet} == dict.fromkeys(quiet, "inactive")


@pytest.mark.parametrize("arguments", [["check", "config", SCRAPE], ["check", "rules", RULES]], ids=["config", "rules"])
def test_promtool_takes_the_files(arguments: list[str]) -> None:
    promtool(*map(str, arguments))


def test_every_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    cases = yaml.safe_load((HERE / "alerts.yml").read_text(encoding="utf-8"))
    assert cases.keys() == alerts().keys()
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        # promtool compares all of them, and the texts of the others are not repeated in the cases.
        rule["annotations"] = {"summary": rule["annotations"]["summary"]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    tests = [of_promtool(name, case) for name, case in cases.items()]
    described = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(described))
    promtool("test", "rules", str(tmp_path / "tests.yml"))


def of_promtool(name: str, case: dict[str, Any]) -> dict[str, Any]:
    """A case of alerts.yml as promtool wants it. Beside Weir runs a Loki with the same figures, which never count."""
    series = {
        selector.rstrip("}") + ("," if "{" in selector else "{") + f'job="{job}",instance="{instance}"}}': values
        for selector, values in case["series"].items()
        for job, instance in [("weir", "a:3100"), ("loki", "b:3100")]
    }
    severity = alerts()[name]["labels"]["severity"]
    fired = {
        "exp_labels": {"instance": "a:3100", "severity": severity} | case["labels"],
        "exp_annotations": {"summary": case["summary"]},
    }
    return {
        "interval": "1m",
        "input_series": [{"series": selector, "values": values} for selector, values in series.items()],
        "alert_rule_test": [
            {"alertname": name, "eval_time": case["quiet"], "exp_alerts": []},
            {"alertname": name, "eval_time": case["fires"], "exp_alerts": [fired]},
        ],
    }


def promtool(*arguments: str) -> None:
    done = subprocess.run([installed("promtool"), *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# ---------------------------------------------------------------- the logs overview, as Grafana's Loki data source asks


def chosen(service: str = ".+", level: str = ".*", search: str = "") -> dict[str, str]:
    """Values of the variables, as the data source puts them in: several are joined with a bar."""
    return {"service": service, "level": level, "search": search} | TIMES


def ask(server: ServerProcess, query: Query, values: dict[str, str]) -> list[dict[str, Any]]:
    now = time.time_ns() + 10**9
    params = {"query": filled(query.expr, values), "direction": "backward"}
    if query.instant:
        answer = get(server, "/loki/api/v1/query", time=str(now), **params)
    else:
        between = {"start": str(now - 3600 * 10**9), "end": str(now), "step": "60000ms", "limit": "500"}
        answer = get(server, "/loki/api/v1/query_range", **between, **params)
    assert answer.status_code == 200, (params, answer.text)
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return found


CHOICES = {
    "everything": chosen(),
    "two services": chosen("shop|cart"),
    "a service, two levels and a text": chosen("shop", "error|warn", "order number"),
}


@pytest.mark.parametrize("values", list(CHOICES.values()), ids=list(CHOICES))
@pytest.mark.parametrize("query", queries(LOGS), ids=lambda query: query.panel)
def test_every_query_of_the_logs_overview_answers_with_data(
    server: ServerProcess, query: Query, values: dict[str, str]
) -> None:
    found = ask(server, query, values)
    assert found
    for label in LEGEND.findall(query.legend):
        assert all(item["metric"].get(label) for item in found), query.legend


def test_the_variables_of_the_logs_overview_have_values(server: ServerProcess) -> None:
    service = variables(LOGS)["service"]["query"]
    assert (service["type"], service["stream"]) == (1, "")  # values of a label, of all streams
    answer = get(server, f"/loki/api/v1/label/{service['label']}/values")
    assert set(answer.json()["data"]) >= {"shop", "cart"}
    assert set(variables(LOGS)["level"]["query"].split(",")) >= set(LEVELS)


def test_what_the_logs_overview_counts_is_what_there_is(server: ServerProcess) -> None:
    assert push(server, TENANT, lines(30, "counted")) == 204
    by_panel = {query.panel: query for query in queries(LOGS)}

    def number(panel: str, values: dict[str, str]) -> float:
        return float(ask(server, by_panel[panel], values)[0]["value"][1])

    counted = chosen("counted")
    assert number("Lines", counted) == 30
    assert number("Errors", counted) == 10
    assert number("Share of errors", counted) == pytest.approx(1 / 3)
    assert number("Services", counted) == 1
    assert number("Errors", chosen("nothing")) == 0
    assert number("Lines", chosen("counted", "error|warn")) == 20
    assert number("Lines", chosen("counted", search="number=7 ")) == 1
    recent = ask(server, by_panel["Recent errors"], counted)
    assert sum(len(stream["values"]) for stream in recent) == 10
    entries = [entry for stream in recent for entry in stream["values"]]
    assert {entry[2]["structuredMetadata"]["detected_level"] for entry in entries} == {"error"}


def test_both_dashboards_have_panels_for_their_whole_subject() -> None:
    asked = " ".join(query.expr for query in queries(OPERATIONS))
    for part in ("distributor", "discarded", "wal", "memtable", "flush", "compaction", "retention", "delete", "cache"):
        assert part in asked
    for part in ("querier", "tail", "pattern", "forward", "reserve", "set_aside", "resident_memory", "cpu_seconds"):
        assert part in asked
    assert {"timeseries", "stat", "bargauge", "logs"} == {panel["type"] for panel in panels(LOGS)}
