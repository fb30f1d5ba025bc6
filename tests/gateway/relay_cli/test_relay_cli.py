"""`weir relay` and /weir/v1/relay, with two real servers: one that sends on, and the one that it sends to."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.crash.forks import ForkedServer
from tests.e2e.relay.wire import Fault, Wire
from tests.forks import Forks, shared
from tests.gateway.weir_command import on_terminal, weir
from tests.server import wait_until

RELAYS = """
upstreams:
- {name: main, url: "%s", selector: '{to="main"}', batch_size: 10, batch_interval: 50ms, tenant: main}
- {name: strict, url: "%s", selector: '{to="strict"}', batch_size: 10, batch_interval: 50ms, tenant: strict}
"""
CONSTANTS = {"gateway.relay.relay.IDLE": 0.2, "gateway.relay.backoff.FIRST": 0.2, "gateway.relay.backoff.MOST": 1.0}
"""How often a relay looks and tries: what takes seconds elsewhere is to be seen at once."""
SMALL = "overrides:\n  strict: {max_line_size: 50B}\n"


class Pair:
    """An edge with two relays to one central server: `main` over a wire, `strict` to a tenant with a small limit."""

    def __init__(self, forks: Forks, folder: Path) -> None:
        overrides = folder / "overrides.yml"
        overrides.write_text(SMALL)
        central = ["tenancy.enabled=true", f"tenancy.overrides_file={overrides}", "instance_name=central"]
        self.wire = Wire()
        self.central = ForkedServer(forks, folder / "central", *flags(central)).start()
        self.wire.to(self.central.url)
        self.settings = folder / "edge.yml"
        self.settings.write_text(RELAYS % (self.wire.url, self.central.url))
        asked = ["--config", str(self.settings), *flags(["instance_name=edge"])]
        self.edge = ForkedServer(forks, folder / "edge", *asked, constants=CONSTANTS).start()

    def close(self) -> None:
        self.edge.kill()
        self.central.kill()
        self.wire.close()

    def push(self, to: str, *lines: str) -> None:
        now = time.time_ns()
        values = [[str(now + at), line] for at, line in enumerate(lines)]
        body = {"streams": [{"stream": {"to": to}, "values": values}]}
        httpx.post(f"{self.edge.url}/loki/api/v1/push", json=body).raise_for_status()

    def relay(self, name: str) -> dict[str, Any]:
        (found,) = (each for each in get(self.edge, "")["relays"] if each["relay"] == name)
        return dict(found)

    def settled(self, name: str) -> bool:
        return wait_until(lambda: self.relay(name)["records"]["pending"] == 0)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """What is pushed for `main` meanwhile stays; at the end it has got through."""
        self.wire.suffer(Fault.DROP)
        try:
            yield
        finally:
            self.wire.suffer(Fault.NONE)
        post(self.edge, "retry", all="true")
        assert self.settled("main")

    def weir(self, *args: str, server: ForkedServer | None = None) -> tuple[int, str, str]:
        done = weir("relay", *args, "--addr", (server or self.edge).url)
        return done.returncode, done.stdout, done.stderr


def flags(settings: list[str]) -> list[str]:
    return [word for each in settings for word in ("--set", each)]


def get(server: ForkedServer, path: str, **params: str) -> dict[str, Any]:
    answer = httpx.get(f"{server.url}/weir/v1/relay{path}", params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def post(server: ForkedServer, path: str, **params: str) -> tuple[int, str]:
    answer = httpx.post(f"{server.url}/weir/v1/relay/{path}", params=params)
    return answer.status_code, answer.text


@pytest.fixture(scope="module")
def forks() -> Forks:
    return shared()


@pytest.fixture(scope="module")
def pair(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """`main` has sent two batches; `strict` one, and one was refused."""
    made = Pair(forks, tmp_path_factory.mktemp("pair"))
    try:
        for lines in (["a", "b", "c"], ["d"]):
            made.push("main", *lines)
            assert made.settled("main")
        made.push("strict", "short")
        assert made.settled("strict")
        made.push("strict", "long " * 20)
        assert wait_until(lambda: made.relay("strict")["batches"]["refused"] == 1)
        # Each passes what is the other's, too.
        assert made.settled("main")
        assert made.settled("strict")
        yield made
    finally:
        made.close()


def refused(pair: Pair) -> list[dict[str, Any]]:
    return list(get(pair.edge, "/batches", status="refused")["batches"])


def test_the_status_says_what_was_sent_and_what_is_in_the_way(pair: Pair) -> None:
    code, out, _ = pair.weir("status")
    assert code == 0
    main, strict = re.split(r"\n(?=strict)", out.removesuffix("\n"))
    assert main.splitlines() == [
        f"main  loki {pair.wire.url}/loki/api/v1/push  waiting",
        "    records   4 total, 4 archived, 0 pending",
        "    batches   2 total, 2 archived, 0 pending",
        "    backlog   0 records, 0 B",
        "    size      10 records a batch, 100 % of 10",
    ]
    assert "    records   2 total, 1 archived, 0 pending, 1 refused\n" in strict
    assert "    batches   2 total, 1 archived, 0 pending, 1 refused\n" in strict
    assert re.search(r"^    error     .* bytes exceeded for stream ", strict, re.MULTILINE)


def test_a_central_server_says_who_sends(pair: Pair) -> None:
    code, out, _ = pair.weir("status", server=pair.central)
    assert code == 0
    head, *rows = [line.split() for line in out.splitlines()]
    assert head == ["INSTANCE", "TENANT", "BATCHES", "RECORDS", "LAST", "RECEIVED", "THROUGH"]
    assert {(row[0], row[1], row[2], row[3]) for row in rows} >= {("edge", "strict", "1", "1")}
    (told,) = (each for each in get(pair.central, "")["instances"] if each["tenant"] == "main")
    assert (told["instance"], told["batches"], told["records"]) == ("edge", 2, 4)
    assert abs(told["last_received"] - time.time()) < 60
    page = httpx.get(f"{pair.central.url}/metrics").text
    labels = '{instance_name="edge",tenant="main"}'
    assert f"\nweir_instance_batches_total{labels} 2.0\n" in page
    assert f"\nweir_instance_records_total{labels} 4.0\n" in page
    found = re.search(rf"^weir_instance_last_received_timestamp_seconds{re.escape(labels)} (\S+)$", page, re.MULTILINE)
    assert found is not None
    assert float(found[1]) == pytest.approx(told["last_received"], abs=0.01)


def test_as_json_it_is_what_the_api_answers(pair: Pair) -> None:
    code, out, _ = pair.weir("status", "-o", "json")
    assert code == 0
    told, asked = json.loads(out), get(pair.edge, "")
    assert told["instance"] == "edge"
    assert [each["relay"] for each in told["relays"]] == ["main", "strict"]
    assert told == asked


def test_a_server_without_relays_says_so(pair: Pair, forks: Forks, tmp_path: Path) -> None:
    alone = ForkedServer(forks, tmp_path / "alone").start()
    try:
        assert pair.weir("status", server=alone) == (
            0,
            "",
            "weir: this server sends nothing on, and no other has sent it anything\n",
        )
        assert pair.weir("batches", server=alone) == (0, "", "weir: no batch is like that\n")
        assert pair.weir("retry", "--all", server=alone)[2] == "weir: 0 batches with 0 records will be sent again\n"
    finally:
        alone.kill()


def test_batches_are_listed_the_last_first_and_chosen(pair: Pair) -> None:
    code, out, _ = pair.weir("batches", "-o", "jsonl")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(each["relay"], each["records"], each["status"]) for each in found] == [
        ("strict", 1, "refused"),
        ("strict", 1, "archived"),
        ("main", 1, "archived"),
        ("main", 3, "archived"),
    ]
    assert found == get(pair.edge, "/batches")["batches"]
    for each in found:
        assert 0 < each["started"] <= time.time()
        assert bool(each["completed"]) == (each["status"] == "archived")
        assert bool(each["error"]) == (each["status"] == "refused")
    assert found[3]["bytes"] == 3
    chosen = {
        ("--relay", "main"): [1, 3],
        ("--status", "refused"): [1],
        ("--limit", "1"): [1],
        ("--since", "1h", "--relay", "main"): [1, 3],
    }
    for args, records in chosen.items():
        listed = [json.loads(line)["records"] for line in pair.weir("batches", *args, "-o", "jsonl")[1].splitlines()]
        assert listed == records, args
    assert get(pair.edge, "/batches", since="1ms")["batches"] == []
    assert get(pair.edge, "/batches", uuid=found[1]["uuid"])["batches"] == [found[1]]


def test_as_a_table_a_batch_is_a_line(pair: Pair) -> None:
    _, out, _ = pair.weir("batches", "--relay", "main")
    head, last, first = out.splitlines()
    assert head.split()[:6] == ["UUID", "RELAY", "TENANT", "RECORDS", "BYTES", "STATUS"]
    assert last.split()[1:2] + last.split()[3:7] == ["main", "1", "1", "B", "archived"]
    assert first.split()[3:6] == ["3", "3", "B"]
    _, out, _ = pair.weir("batches", "--summary", "--since", "1h")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["RELAY", "STATUS", "BATCHES", "RECORDS", "BYTES", "RETRIES"]
    assert rows[1] == ["main", "archived", "2", "4", "4", "B", "0"]
    assert [row[:4] for row in rows[2:]] == [["strict", "archived", "1", "1"], ["strict", "refused", "1", "1"]]


def test_what_was_refused_is_tried_once_more(pair: Pair) -> None:
    (before,) = refused(pair)
    code, _, err = pair.weir("retry", before["uuid"])
    assert (code, err) == (0, "weir: 1 batch with 1 record will be sent again\n")
    # It is refused again: it is as long as before.
    assert wait_until(lambda: [each["uuid"] for each in refused(pair)] == [before["uuid"]])


def test_an_outage_is_ended_at_once_by_a_retry(pair: Pair) -> None:
    with pair.outage():
        pair.push("main", "while it is away")
        assert wait_until(lambda: pair.relay("main")["failures"] > 0)
        told = pair.relay("main")
        assert (told["records"]["pending"], told["backlog"]["records"], told["backlog"]["bytes"]) == (1, 1, 16)
        assert told["state"] in ("failing", "sending")
        _, out, _ = pair.weir("status")
        assert re.search(r"backlog   1 record, 16 B, the oldest from \d+s ago", out)
        assert re.search(r"error     \d+ failures in a row, the last: \S", out)
        assert wait_until(lambda: get(pair.edge, "/batches", relay="main")["batches"][0]["status"] == "failed")
    told = pair.relay("main")
    assert (told["failures"], told["error"], told["records"]["archived"]) == (0, "", 5)


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["retry"], 2, "say which batch: give its UUID, or --all"),
        (["retry", "x", "--all"], 2, "say which batch: give its UUID, or --all"),
        (["retry", "x", "--relay", "main"], 2, "a UUID says all by itself: leave --relay out"),
        (["retry", "x"], 1, "'x' is not a UUID"),
        (["retry", "--all", "--relay", "nobody"], 1, "there is no relay 'nobody'"),
        (["remove"], 2, "say what to give up: a batch's UUID, or --relay NAME"),
        (["remove", "x", "--relay", "main"], 2, "say what to give up: a batch's UUID, or --relay NAME"),
        (["remove", "--relay", "nobody"], 2, "there is no relay 'nobody'; there are: main, strict"),
        (["remove", "--relay", "nobody", "--yes"], 1, "there is no relay 'nobody'"),
        (["batches", "--since", "yesterday"], 2, "'yesterday' is no duration: give one like 90s, 1h30m or 7d"),
        (
            ["batches", "--status", "lost"],
            1,
            "invalid status 'lost': it is one of pending, sending, failed, archived, refused, removed",
        ),
        (["batches", "--limit", "0"], 1, "limit must be a positive value"),
    ],
)
def test_what_cannot_be_done_is_said(pair: Pair, args: list[str], code: int, text: str) -> None:
    assert pair.weir(*args) == (code, "", f"weir: {text}\n")


def test_a_batch_that_is_none_or_is_done_is_not_found(pair: Pair) -> None:
    done = get(pair.edge, "/batches", status="archived")["batches"][0]["uuid"]
    for uuid in (done, str(uuid4())):
        for path in ("retry", "remove"):
            status, text = post(pair.edge, path, uuid=uuid)
            assert (status, uuid in text) == (404, True)


def test_a_batch_is_given_up_after_it_was_agreed(pair: Pair) -> None:
    (batch,) = refused(pair)
    what = f"batch {batch['uuid']} of relay strict: 1 record will not be sent"
    assert pair.weir("remove", batch["uuid"]) == (2, "", f"weir: {what}; say --yes if that is meant\n")
    assert len(refused(pair)) == 1
    assert pair.weir("remove", batch["uuid"], "--yes") == (0, "", "weir: 1 batch with 1 record given up\n")
    assert refused(pair) == []
    assert pair.relay("strict")["records"] == {"total": 2, "archived": 1, "pending": 0, "refused": 0, "removed": 1}
    # Its entries are still on this server.
    found = httpx.get(f"{pair.edge.url}/loki/api/v1/query_range", params={"query": '{to="strict"} |= "long"'}).json()
    assert len(found["data"]["result"]) == 1


def test_on_a_terminal_it_asks(pair: Pair) -> None:
    pair.push("strict", "long once more " * 10)
    assert wait_until(lambda: len(refused(pair)) == 1)
    (batch,) = refused(pair)
    address = ("--addr", pair.edge.url)
    code, screen = on_terminal("relay", "remove", batch["uuid"], *address, typed="n\n")
    assert "1 record will not be sent. Give them up? [y/N]" in screen
    assert (code, "nothing is given up" in screen, len(refused(pair))) == (1, True, 1)
    code, screen = on_terminal("relay", "remove", batch["uuid"], *address, typed="y\n")
    assert (code, "1 batch with 1 record given up" in screen, refused(pair)) == (0, True, [])


def test_all_that_a_relay_has_is_given_up_and_what_comes_later_is_sent(pair: Pair) -> None:
    archived = pair.relay("main")["records"]["archived"]
    with pair.outage():
        pair.push("main", *(f"given up {number}" for number in range(25)))
        assert wait_until(lambda: pair.relay("main")["records"]["pending"] == 25)
        code, _, err = pair.weir("remove", "--relay", "main")
        assert (code, err) == (2, "weir: relay main: 25 records will not be sent; say --yes if that is meant\n")
        code, _, err = pair.weir("remove", "--relay", "main", "--yes")
        assert (code, err) == (0, "weir: 25 records given up\n")
        told = pair.relay("main")
        assert (told["records"]["pending"], told["records"]["removed"], told["backlog"]["bytes"]) == (0, 25, 0)
        pair.push("main", "sent")
    assert pair.relay("main")["records"]["archived"] == archived + 1
    page = httpx.get(f"{pair.edge.url}/metrics").text
    assert '\nweir_relay_removed_records_total{relay="main"} 25.0\n' in page
    assert f'\nweir_relay_archived_records_total{{relay="main"}} {archived + 1}.0\n' in page


def test_a_relay_of_no_setting_is_shown_kept_for_and_forgotten(pair: Pair) -> None:
    pair.wire.suffer(Fault.DROP)
    pair.push("main", "left behind")
    assert wait_until(lambda: pair.relay("main")["backlog"]["records"] == 1)
    pair.edge.kill()
    written = pair.settings.read_text()
    pair.settings.write_text("\n".join(line for line in written.splitlines() if "main" not in line))
    pair.edge.start()
    assert (pair.relay("main")["state"], pair.relay("main")["records"]["pending"]) == ("gone", 1)
    _, out, _ = pair.weir("status")
    assert "main  in no setting any more: nothing is sent\n" in out
    code, _, err = pair.weir("remove", "--relay", "main", "--yes")
    assert (code, err) == (0, "weir: 1 record given up\n")
    assert [each["relay"] for each in get(pair.edge, "")["relays"]] == ["strict"]
