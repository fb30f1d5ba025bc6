"""The files for Grafana say what Grafana understands. In tests/e2e/grafana its published types check the dashboards."""

from __future__ import annotations

import json
import re
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.yamlfile import read_yaml
from tests.config.boards import GRAFANA, LOGS, OPERATIONS, VARIABLE, alerts, panels, queries, read, variables

BOARDS = [OPERATIONS, LOGS]
PROVISIONED = GRAFANA / "provisioning" / "datasources" / "weir.yml"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def provisioned(text: str) -> dict[str, Any]:
    """The data source of a provisioning file, with `$$` undone as Grafana does."""
    files = yaml.safe_load(text)
    assert files["apiVersion"] == 1
    (source,) = files["datasources"]
    found: dict[str, Any] = json.loads(json.dumps(source).replace("$$", "$"))
    return found


def datasource() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GRAFANA / "datasource.json").read_text(encoding="utf-8"))
    return found


def test_the_data_source_is_the_same_as_yaml_and_as_json() -> None:
    source = provisioned(PROVISIONED.read_text(encoding="utf-8"))
    assert source.pop("editable") is True  # provisioning alone knows it
    assert source == datasource()


def test_the_data_source_is_one_of_loki() -> None:
    source = datasource()
    assert (source["type"], source["access"], source["uid"]) == ("loki", "proxy", "weir")
    assert source["url"] == "http://127.0.0.1:3100"
    # The data source's editor saves this number as a text.
    assert source["jsonData"]["maxLines"] == "1000"
    for field in source["jsonData"]["derivedFields"]:
        assert field.keys() <= {"name", "matcherType", "matcherRegex", "datasourceUid", "url", "urlDisplayLabel"}
        assert field["matcherType"] in ("label", "regex")
        assert field["url"] == "${__value.raw}"
    # Fields of one name share the first one's expression.
    names = [field["name"] for field in source["jsonData"]["derivedFields"]]
    assert len(names) == len(set(names))


def test_the_header_of_a_tenant_is_there_to_be_taken_in() -> None:
    text = re.sub(
        r"^( +)# (httpHeader|secureJsonData)", r"\1\2", PROVISIONED.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    source = provisioned(text)
    assert source["jsonData"]["httpHeaderName1"] == "X-Scope-OrgID"
    assert source["secureJsonData"] == {"httpHeaderValue1": "acme"}


def test_no_dollar_of_the_provisioning_file_is_taken_for_a_variable_of_the_environment() -> None:
    text = "\n".join(line for line in PROVISIONED.read_text(encoding="utf-8").split("\n") if not line.startswith("#"))
    # At the end of an expression a dollar has no name after it and stays.
    assert re.findall(r"(?<!\$)\$(?:\w|\{)", text) == []


def test_the_dashboards_are_provisioned_from_a_folder() -> None:
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "weir.yml").read_text())["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"].startswith("/etc/grafana/")


def derived(kind: str) -> re.Pattern[str]:
    (field,) = (f for f in datasource()["jsonData"]["derivedFields"] if f["matcherType"] == kind)
    return re.compile(field["matcherRegex"])


@pytest.mark.parametrize(
    "line",
    [
        f'{{"level":"info","trace_id":"{TRACE}","msg":"paid"}}',
        f'{{"msg": "paid", "traceId": "{TRACE}", "spanId": "b7ad6b7169203331"}}',
        f'{{"msg":"paid","TraceID":"x","traceID" : "{TRACE}"}}',
        f'{{"log":"{{\\"trace_id\\":\\"{TRACE}\\",\\"msg\\":\\"paid\\"}}","stream":"stdout"}}',
        f'{{"trace.id":"{TRACE}"}}',
        f"level=info trace_id={TRACE} msg=paid",
        f'ts=2026-01-01T00:00:00Z level=info msg="paid order" traceID={TRACE} duration=3ms',
        f'trace_id="{TRACE}"',
        f"[shop] trace_id: {TRACE} paid",
    ],
)
def test_the_derived_field_finds_the_trace_in_a_line(line: str) -> None:
    found = derived("regex").search(line)
    assert found is not None
    assert found[1] == TRACE


@pytest.mark.parametrize(
    "line",
    [
        "level=info msg=paid",
        "trace_id= msg=paid",
        '{"trace_id":""}',
        '{"trace_id":"not hexadecimal"}',
        f"parent_trace_id={TRACE}",
        f'{{"trace_id_of_parent":"{TRACE}"}}',
        f"trace_id={TRACE}{TRACE}",
        "trace_id=1234",
    ],
)
def test_the_derived_field_finds_none_where_there_is_none(line: str) -> None:
    assert derived("regex").search(line) is None


def test_the_derived_field_of_metadata_takes_the_names_in_use_and_no_other() -> None:
    names = ["trace_id", "traceid", "traceID", "traceId", "span_id", "parent_trace_id", "trace_id_extracted", "trace"]
    assert [name for name in names if derived("label").search(name)] == ["trace_id", "traceid", "traceID", "traceId"]


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
class TestDashboard:
    def test_is_of_a_grafana_of_today_and_keeps_its_address(self, path: Path) -> None:
        board = read(path)
        assert board["uid"] == path.stem
        assert board["schemaVersion"] == 42
        assert "id" not in board
        assert board["title"].startswith("Weir / ")

    def test_names_no_data_source_of_its_own(self, path: Path) -> None:
        kind = variables(path)["datasource"]["query"]
        for panel in panels(path):
            for source in [panel["datasource"], *(target["datasource"] for target in panel["targets"])]:
                assert source == {"type": kind, "uid": "${datasource}"}, panel["title"]

    def test_uses_the_variables_that_it_has(self, path: Path) -> None:
        used = {name for query in queries(path) for name in VARIABLE.findall(query.expr)}
        grafanas = {"__rate_interval", "__range", "__auto"}
        assert used - grafanas == variables(path).keys() - {"datasource"}

    def test_explains_every_panel(self, path: Path) -> None:
        for panel in panels(path):
            assert panel["title"]
            assert panel["description"].endswith("."), panel["title"]
            if panel["type"] != "logs":
                assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
                steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
                assert steps[0]["value"] is None
                values = [step["value"] for step in steps[1:]]
                assert values == sorted(values)

    def test_has_panels_that_do_not_lie_on_each_other(self, path: Path) -> None:
        def over(one: dict[str, int], other: dict[str, int]) -> bool:
            beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            return not (beside or below)

        every = read(path)["panels"]
        assert [p["title"] for p in every if p["gridPos"]["x"] + p["gridPos"]["w"] > 24] == []
        assert [(a["title"], b["title"]) for a, b in combinations(every, 2) if over(a["gridPos"], b["gridPos"])] == []

    def test_numbers_its_panels_and_their_queries(self, path: Path) -> None:
        numbers = [panel["id"] for panel in read(path)["panels"]]
        assert len(numbers) == len(set(numbers))
        for panel in panels(path):
            letters = [target["refId"] for target in panel["targets"]]
            assert all(one < other for one, other in pairwise(letters))


def test_the_two_dashboards_find_each_other() -> None:
    tags = [set(read(path)["tags"]) for path in BOARDS]
    linked = {tag for path in BOARDS for link in read(path)["links"] for tag in link["tags"]}
    assert all(linked <= own for own in tags)


@pytest.mark.parametrize("name", list(alerts()))
def test_every_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    rule = alerts()[name]
    assert rule["for"]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert all(text.endswith(".") for text in rule["annotations"].values())
    assert 'job="weir"' in rule["expr"]


def test_what_runbooks_name_is_there() -> None:
    texts = " ".join(text for rule in alerts().values() for text in rule["annotations"].values())
    root = GRAFANA.parents[1]
    assert [page for page in re.findall(r"docs/[\w-]+\.md", texts) if not (root / page).is_file()] == []
    assert set(re.findall(r"\bWeir[A-Z]\w+", texts)) <= alerts().keys()
    metrics = (root / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [name for name in re.findall(r"\b(?:weir|loki)_\w+", texts) if f"`{name}`" not in metrics] == []
    settings = (root / "docs" / "settings.md").read_text(encoding="utf-8")
    groups = set(read_yaml(root / "config" / "weir.yml")) | {"retention", "deletes", "patterns"}
    named = [name for name in re.findall(r"(?<![/\w.])([a-z]+\.[a-z_]+)\b", texts) if name.split(".")[0] in groups]
    assert named
    assert [name for name in named if f"`{name}`" not in settings] == []
    apis = (root / "docs" / "api.md").read_text(encoding="utf-8")
    assert [path for path in re.findall(r"GET (/[\w/]+)", texts) if path not in apis] == []


def test_the_page_on_grafana_has_every_alert_by_severity_and_no_dead_link() -> None:
    docs = GRAFANA.parents[1] / "docs"
    page = (docs / "grafana.md").read_text(encoding="utf-8")
    told = {
        kind: set(re.findall(r"`(Weir\w+)`", row))
        for kind, row in re.findall(r"^\| (critical|warning): (.*)$", page, re.MULTILINE)
    }
    wanted: dict[str, set[str]] = {"critical": set(), "warning": set()}
    for name, rule in alerts().items():
        wanted[rule["labels"]["severity"]].add(name)
    assert told == wanted
    assert [link for link in re.findall(r"\]\(([^)#:]+)\)", page) if not (docs / link).exists()] == []
    (snippet,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    scrape = yaml.safe_load((GRAFANA.parent / "prometheus" / "scrape.yml").read_text(encoding="utf-8"))
    assert yaml.safe_load(snippet).items() <= scrape.items()
