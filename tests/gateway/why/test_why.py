"""`weir why` and what it asks: streams, limits, findings. One real server."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.why.typos import near
from tests.gateway.weir_command import weir
from tests.server import ServerProcess, running_server

NOW = 0
"""When a test began."""
HOUR = 3600 * 10**9
SETTINGS = """
tenancy: {enabled: true}
limits: {max_line_size: 100}
retention: {period: 30d}
overrides:
  blind: {max_query_lookback: 10m}
  brief: {retention_stream: [{selector: '{app="short"}', period: 2h, priority: 1}]}
  full: {max_streams_per_user: 2}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("why")
    (folder / "weir.yml").write_text(SETTINGS)
    with running_server(folder / "data", "--config", str(folder / "weir.yml")) as running:
        yield running


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "NOW", time.time_ns())


def push(server: ServerProcess, tenant: str, app: str, *lines: tuple[int, str], **more: str) -> int:
    values = [[str(ts), line] for ts, line in lines]
    body = {"streams": [{"stream": {"app": app, **more}, "values": values}]}
    return httpx.post(f"{server.url}/loki/api/v1/push", json=body, headers={"X-Scope-OrgID": tenant}).status_code


def get(server: ServerProcess, tenant: str, path: str, **params: str) -> Any:
    answer = httpx.get(f"{server.url}/weir/v1/{path}", params=params, headers={"X-Scope-OrgID": tenant})
    return answer.raise_for_status().json()


def found(server: ServerProcess, tenant: str, query: str, **params: str) -> list[tuple[str, str, str]]:
    """(about, level, text) of each finding."""
    answer = get(server, tenant, "why", query=query, **params)
    return [(one["about"], one["level"], one["text"]) for one in answer["findings"]]


def test_lines_that_are_there_are_said_to_be(server: ServerProcess) -> None:
    push(server, "well", "web", (NOW, "one"), (NOW + 1, "two"))
    (finding,) = found(server, "well", '{app="web"}')
    assert finding[:2] == ("streams", "fine")
    assert finding[2].startswith("1 stream matches; 2 lines of those that wrote last in this time.")


def test_a_refused_line_is_the_cause_and_stands_first(server: ServerProcess) -> None:
    push(server, "refused", "web", (NOW, "fine"), (NOW, "x" * 101))
    push(server, "refused", "other", (NOW, "y" * 101))
    first, *rest = found(server, "refused", '{app="web"}')
    assert first[:2] == ("rejected", "cause")
    assert first[2].startswith("Refused as line_too_long: 2 lines, the last at 20")
    assert "xxx" in first[2]
    assert [one[0] for one in rest] == ["streams"]
    answer = get(server, "refused", "why", query='{app="web"}')
    assert "limits.max_line_size" in answer["findings"][0]["advice"]
    assert [one["reason"] for one in answer["rejected"]] == ["line_too_long"]


def test_a_request_that_may_have_had_the_line_is_a_hint(server: ServerProcess) -> None:
    push(server, "path", "web", (NOW, "fine"))
    httpx.post(f"{server.url}/loki/v1/push", json={}, headers={"X-Scope-OrgID": "path", "User-Agent": "agent/1"})
    hint = next(one for one in found(server, "path", '{app="web"}') if one[0] == "rejected")
    assert hint[1] == "hint"
    assert "from 127.0.0.1 (agent/1)" in hint[2]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ('{app="wbe"}', 'No stream has app="wbe". Nearest to it: "web".'),
        ('{app="WEB"}', 'No stream has app="WEB". Nearest to it: "web".'),
        ('{ap="web"}', "No stream has a label ap. Nearest to it: app."),
        ('{app=~"x.+"}', 'No value of the label app matches "x.+". It has values such as "api", "web".'),
        ('{app="web", env="test"}', "Each matcher has streams, but no stream matches all of them."),
    ],
)
def test_a_selector_that_matches_nothing_is_told_what_is_near(server: ServerProcess, query: str, text: str) -> None:
    push(server, "typo", "web", (NOW, "one"), env="prod")
    push(server, "typo", "api", (NOW, "one"), env="test")
    assert found(server, "typo", query) == [("streams", "cause", text)]


def test_a_tenant_that_has_nothing_is_told_so(server: ServerProcess) -> None:
    ((about, level, text),) = found(server, "nobody", '{app="web"}')
    assert (about, level) == ("streams", "cause")
    assert text.startswith("There are no streams at all")


def test_the_nearest_are_the_same_but_for_case_then_parts_then_alike() -> None:
    assert near("Web", ["webs", "wob", "web", "x"]) == ["web", "webs"]
    assert near("frontend", ["frontned", "backend", "db"])[0] == "frontned"
    assert near("x", []) == []


def test_times_that_are_off_are_noticed(server: ServerProcess) -> None:
    # Of this moment: the module may have been read a quarter of an hour ago.
    push(server, "clock", "ahead", (time.time_ns() + 5 * 60 * 10**9, "soon"))
    push(server, "clock", "behind", (NOW - 5 * HOUR, "long ago"))
    texts = [text for about, _, text in found(server, "clock", '{app="ahead"}') if about == "clock"]
    assert len(texts) == 1
    assert "in the future" in texts[0]
    behind = found(server, "clock", '{app="behind"}')
    assert [one[:2] for one in behind] == [("streams", "cause"), ("clock", "cause")]
    assert "without an entry between" in behind[0][2]
    assert "its times are behind" in behind[1][2]


def test_what_hides_lines_is_named(server: ServerProcess) -> None:
    push(server, "blind", "web", (NOW, "one"))
    assert ("lookback", "hint") in [one[:2] for one in found(server, "blind", '{app="web"}')]
    push(server, "brief", "short", (NOW, "one"))
    push(server, "brief", "long", (NOW, "one"))
    texts = [text for about, _, text in found(server, "brief", '{app="short"}', since="3h") if about == "retention"]
    assert len(texts) == 1
    assert texts[0].endswith("retention keeps of these streams: 2h.")
    assert "retention" not in [one[0] for one in found(server, "brief", '{app="long"}', since="3h")]
    params = {"query": '{app="long"} |= "one"', "start": str(NOW // 10**9 - 60)}
    httpx.post(f"{server.url}/loki/api/v1/delete", params=params, headers={"X-Scope-OrgID": "brief"}).raise_for_status()
    cause = next(one for one in found(server, "brief", '{app="long"}') if one[0] == "deletes")
    assert '{app="long"} |= "one"' in cause[2]
    assert "deletes" not in [one[0] for one in found(server, "brief", '{app="short"}')]


def test_a_delete_of_everything_is_named(server: ServerProcess) -> None:
    push(server, "old", "web", (NOW - 3 * HOUR, "one"), (NOW, "two"))
    address = {"LOKI_ADDR": server.url, "LOKI_ORG_ID": "old"}
    assert weir("delete", "--older-than", "2h", env=address).returncode == 0
    answer = get(server, "old", "why", query='{app="web"}', start=str(NOW - 4 * HOUR), end=str(NOW + 1))
    cause = next(one for one in answer["findings"] if one["about"] == "deletes")
    assert cause["text"].startswith("A delete took entries of all times up to 20")
    assert cause["advice"] == "It can be called off with `weir delete cancel` until it is carried out."
    delete_id = re.search(r"id (\w+)\)", cause["text"])
    assert delete_id is not None
    assert weir("delete", "list", env=address).stdout.count(delete_id[1]) == 1


def test_a_limit_near_its_edge_is_told(server: ServerProcess) -> None:
    push(server, "full", "a", (NOW, "one"))
    assert not [one for one in get(server, "full", "limits")["limits"] if one["near"]]
    push(server, "full", "b", (NOW, "one"))
    (near_edge,) = [one for one in get(server, "full", "limits")["limits"] if one["near"]]
    assert (near_edge["setting"], near_edge["used"], near_edge["limit"]) == ("limits.max_streams_per_user", 2, 2)
    hint = next(one for one in found(server, "full", '{app="a"}') if one[0] == "limits")
    assert hint[2].startswith("limits.max_streams_per_user is near its edge: 2 of 2 streams")


def test_streams_are_listed_with_when_they_last_came_in(server: ServerProcess) -> None:
    push(server, "listed", "old", (NOW - 2 * HOUR, "one"))
    push(server, "listed", "new", (NOW, "one"), (NOW + 1, "three"))
    told = get(server, "listed", "streams")
    assert told["matching"] == 2
    new, old = told["streams"]
    assert (new["stream"]["app"], new["lines"]) == ("new", 2)
    assert 0 <= int(new["lastEntry"]) - (NOW + 1) < 10**6
    assert NOW < int(new["lastArrival"]) < time.time_ns()
    assert (old["stream"]["app"], old["lines"], old["bytes"]) == ("old", 0, 0)
    assert get(server, "listed", "streams", query='{app="old"}', since="3h")["streams"][0]["lines"] == 1
    assert len(get(server, "listed", "streams", limit="1")["streams"]) == 1
    push(server, "listed2", "more", (NOW, "one"))
    both = get(server, "listed|listed2", "streams", query='{app=~"new|more"}')
    assert {one["stream"]["__tenant_id__"] for one in both["streams"]} == {"listed", "listed2"}


def test_the_command_says_it_in_words_or_as_json(server: ServerProcess) -> None:
    push(server, "cli", "web", (NOW, "x" * 101), (NOW, "fine"))
    flags = ("--addr", server.url, "--org-id", "cli")
    done = weir("why", '{app="web"}', *flags)
    assert done.returncode == 0, done
    first, advice, *_ = done.stdout.splitlines()
    assert first.startswith("! Refused as line_too_long: 1 line, the last at ")
    assert advice.startswith("  -> The lines are too long: raise limits.max_line_size")
    assert "Streams that match: 1. Those that wrote last:" in done.stdout
    assert "lines 1, " in done.stdout.splitlines()[-1]
    assert done.stdout.endswith('{app="web", service_name="web"}\n')
    told = json.loads(weir("why", '{app="web"}', "-o", "json", *flags).stdout)
    assert set(told) == {"findings", "matching", "streams", "rejected", "limits"}
    assert weir("why", "{app=}", *flags).returncode == 1
