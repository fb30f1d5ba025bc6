"""Real servers that emit: to files, standard output, nowhere and another server, through failures and kills."""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import trustme

from tests.crash.forks import ForkedServer
from tests.crash.traffic import Connection, Line, push_body, read_lines
from tests.forks import shared
from tests.gateway.emit.lines import lines_in, lines_of_json
from tests.gateway.notify.receiver import Receiver
from tests.gateway.tls.authority import client_context, write_ca, write_client
from tests.server import ServerProcess, running_server, wait_until

SOON = {"gateway.relay.backoff.FIRST": 0.02, "gateway.relay.backoff.MOST": 0.05}
"""A failure is tried again at once."""


def emits(*emitters: dict[str, Any], frequency: str = "50ms") -> tuple[str, str, str, str]:
    listed = json.dumps(emitters)
    return "--set", f"emitters={listed}", "--set", f"emit.minimum_publish_frequency={frequency}"


def push(server: ServerProcess, *texts: str, job: str = "emit", tenant: str = "") -> None:
    headers = {"X-Scope-OrgID": tenant} if tenant else None
    now = time.time_ns()
    lines = [Line((("job", job),), now + number, text) for number, text in enumerate(texts)]
    with Connection(server.url) as connection:
        answer = connection.push(push_body(lines), headers)
    assert answer.status == 204, answer.text


def metric(server: ServerProcess, name: str, relay: str) -> float:
    with Connection(server.url) as connection:
        page = connection.get("/metrics").text
    found = re.search(rf'^{name}{{relay="{relay}"}} (\S+)$', page, re.MULTILINE)
    assert found, name
    return float(found[1])


def comes(true: Callable[[], bool]) -> bool:
    return wait_until(true, 60)


def test_one_server_emits_to_every_kind_of_sink(tmp_path: Path) -> None:
    texts = [f"line {number}" for number in range(250)]
    with running_server(tmp_path / "other") as other:
        kinds = emits(
            {"kind": "file", "path": str(tmp_path / "out" / "{name}-{tenant}.jsonl"), "max_batch_size": 100},
            {"kind": "stdout"},
            {"kind": "blackhole", "selector": '{job="chosen"}'},
            {"kind": "loki", "url": other.url, "add_labels": {"from": "here"}},
        )
        with running_server(tmp_path / "data", *kinds) as server:
            began = time.time_ns()

            def got() -> Counter[str]:
                return read_lines(other.url, '{from="here"}', began, time.time_ns())

            push(server, *texts)
            push(server, "chosen", job="chosen")
            want = Counter([*texts, "chosen"])
            out = tmp_path / "out" / "file-fake.jsonl"
            assert comes(lambda: out.exists() and lines_in(out) == want)
            assert comes(lambda: lines_of_json(server.log_text.encode()) == want)
            assert comes(lambda: got() == want)
            assert comes(lambda: metric(server, "weir_relay_archived_records_total", "blackhole") == 1)
            assert comes(lambda: metric(server, "weir_relay_archived_batches_total", "file") >= 3)
            assert comes(lambda: metric(server, "weir_relay_backlog_records", "file") == 0)
            assert server.stop() == 0
        assert got() == want
    assert lines_in(out) == want


def test_variables_of_an_aggregator_make_it_write_text_in_batches(tmp_path: Path) -> None:
    pager = {"integration_key": "k" * 32, "incident_key": "shop", "identifier": "edge"}
    env = {
        "AGGREGATOR_MAX_BATCH_SIZE": "40",
        "AGGREGATOR_MINIMUM_PUBLISH_FREQUENCY": "1h0m0s",
        "AGGREGATOR_TEXT_CONFIGURATION": "{}",
        "AGGREGATOR_NOTIFY_CONFIGURATION": json.dumps(pager),
        "AGGREGATOR_TLS": "0",
    }
    with running_server(tmp_path / "data", env=env) as server:

        def shown() -> list[str]:
            return re.findall(r'^\S+Z \{.*job="emit".*\} (line \d+)$', server.log_text, re.MULTILINE)

        push(server, *(f"line {number}" for number in range(100)))
        # Two full batches go at once; the rest waits for its hour, which is not over at the stop.
        assert comes(lambda: len(shown()) == 80)
        assert shown() == [f"line {number}" for number in range(80)]
        with Connection(server.url) as connection:
            config = connection.get("/config").text
        assert "incident_key: shop" in config
        assert "k" * 32 not in config + server.log_text
        assert server.stop() == 0
        assert len(shown()) == 80


def test_variables_of_an_aggregator_give_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    pem = b"".join(each.bytes() for each in own.cert_chain_pems).decode()
    ca = write_ca(authority, tmp_path / "ca.pem")
    env = {
        "AGGREGATOR_TLS": "1",
        "AGGREGATOR_TLS_CERTIFICATE": pem.replace("\n", "\\n"),
        "AGGREGATOR_TLS_KEY": own.private_key_pem.bytes().decode(),
        "AGGREGATOR_TLS_CA_CERTIFICATE": ca,
    }
    with running_server(tmp_path / "data", env=env) as server:
        assert server.url.startswith("https://")
        known = client_context(authority, write_client(authority, tmp_path / "client.pem"))
        assert httpx.get(f"{server.url}/ready", verify=known).status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/ready", verify=client_context(authority))
        shown = httpx.get(f"{server.url}/config", verify=known).text
        assert "PRIVATE KEY" not in shown + server.log_text


def test_a_sink_that_fails_is_told_after_its_retries_and_its_end_too(tmp_path: Path) -> None:
    in_the_way = tmp_path / "logs"
    in_the_way.write_text("a file where a folder is to be")
    emitter = {"kind": "file", "name": "archive", "path": f"{in_the_way}/out.jsonl", "retries": 2}
    with Receiver() as receiver:
        notify = json.dumps([{"kind": "webhook", "url": receiver.url, "events": ["relay"]}])
        flags = (*emits(emitter), "--set", f"notify={notify}")
        with ForkedServer(shared(), tmp_path / "data", *flags, constants=SOON) as server:
            push(server, "one", "two")
            assert receiver.waits_for(1) == [("raised", "relay/archive")]
            failures = int(receiver.got[0].body["details"]["failures"])
            assert failures == 3, "after the first try and two retries"
            push(server, "three")
            in_the_way.unlink()
            assert receiver.waits_for(2) == [("raised", "relay/archive"), ("resolved", "relay/archive")]
            out = in_the_way / "out.jsonl"
            assert comes(lambda: lines_in(out) == Counter(["one", "two", "three"]))
            assert metric(server, "weir_relay_removed_records_total", "archive") == 0
            assert server.stop() == 0
        assert len(receiver.got) == 2


def test_what_is_discarded_is_counted_and_later_lines_arrive(tmp_path: Path) -> None:
    in_the_way = tmp_path / "logs"
    in_the_way.write_text("a file where a folder is to be")
    emitter = {
        "kind": "file",
        "name": "archive",
        "path": f"{in_the_way}/out.jsonl",
        "retries": 1,
        "on_failure": "discard",
    }
    with ForkedServer(shared(), tmp_path / "data", *emits(emitter), constants=SOON) as server:
        push(server, "lost one", "lost two")
        assert comes(lambda: metric(server, "weir_relay_removed_records_total", "archive") == 2)
        in_the_way.unlink()
        push(server, "kept")
        out = in_the_way / "out.jsonl"
        assert comes(lambda: out.exists() and lines_in(out) == Counter(["kept"]))
        with Connection(server.url) as connection:  # here they are, all of them
            found = connection.get("/loki/api/v1/query", query='count_over_time({job="emit"}[1h])').json
        assert found["data"]["result"][0]["value"][1] == "3"


def test_a_full_buffer_gives_the_oldest_up(tmp_path: Path) -> None:
    in_the_way = tmp_path / "logs"
    in_the_way.write_text("a file where a folder is to be")
    emitter = {
        "kind": "file",
        "name": "archive",
        "path": f"{in_the_way}/out.jsonl",
        "max_backlog": "2KB",
        "max_batch_size": 5,
    }
    texts = [f"line {number:03} " + "x" * 91 for number in range(100)]
    with ForkedServer(shared(), tmp_path / "data", *emits(emitter), constants=SOON) as server:
        for start in range(0, 100, 10):
            push(server, *texts[start : start + 10])
        assert comes(lambda: metric(server, "weir_relay_removed_records_total", "archive") >= 80)
        in_the_way.unlink()
        out = in_the_way / "out.jsonl"

        def is_there() -> bool:
            gone = metric(server, "weir_relay_removed_records_total", "archive")
            return out.exists() and lines_in(out) == Counter(texts[int(gone) :])

        assert comes(is_there)


class Traffic:
    """Lines that are pushed until it is told to stop, each until it is acknowledged."""

    def __init__(self, server: ForkedServer) -> None:
        self.acknowledged: Counter[str] = Counter()
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Waits for the last push."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            texts = [f"line {number + each}" for each in range(20)]
            number += 20
            body = push_body([Line((("job", "emit"),), time.time_ns(), text) for text in texts])
            while not self._stop.is_set():
                try:
                    with Connection(self._server.url) as connection:
                        if connection.push(body).status == 204:  # the same body again stores nothing twice
                            self.acknowledged.update(texts)
                            break
                except (OSError, http.client.HTTPException, AssertionError):  # it was killed, and has no URL yet
                    self._stop.wait(0.01)
            self._stop.wait(0.002)


def emitted_through_kills(folder: Path, rounds: int) -> None:
    out = folder / "out.jsonl"
    emitter = {"kind": "file", "path": str(out), "rotate_size": "16KB", "max_batch_size": 100}
    chance = random.Random(7)
    server = ForkedServer(shared(), folder / "data", *emits(emitter, frequency="20ms"), "--set", "wal.reserve=1MB")
    with server, Traffic(server) as traffic:
        for _ in range(rounds):
            before = len(traffic.acknowledged)
            assert comes(lambda before=before: len(traffic.acknowledged) > before + 100)  # type: ignore[misc]
            time.sleep(chance.uniform(0, 0.1))  # a kill is to come at any moment, not at one that is waited for
            server.kill()
            server.start()
        traffic.stop()
        want = traffic.acknowledged
        # The last push may have been stored without a word.
        assert comes(lambda: metric(server, "weir_relay_backlog_records", "file") == 0 and not want - lines_in(out))
        found = lines_in(out)
        assert max(found.values()) == 1
        assert len(found - want) <= 20
        assert server.stop() == 0
        assert lines_in(out) == found


def test_kills_double_and_lose_no_line_in_the_files(tmp_path: Path) -> None:
    emitted_through_kills(tmp_path, 4)


@pytest.mark.soak
def test_nor_do_many_kills(tmp_path: Path) -> None:
    emitted_through_kills(tmp_path, 60)
