"""A chain of relays in which everything that can fail does: each line is at the top exactly once."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.crash.forks import ForkedServer
from tests.crash.traffic import Connection
from tests.e2e.relay.chain import REGION, Chain, batches, pending, relay_status
from tests.e2e.relay.sender import Entry, Sender, read_entries
from tests.e2e.relay.wire import Fault
from tests.forks import Forks
from tests.server import wait_until

HOUR = 3600 * 10**9
SENDERS = 2
ROUNDS = 2
SOAK_SECONDS = 120.0
FAULTS = (Fault.DROP, Fault.STALL, Fault.NO_ANSWERS, Fault.CUT)


def test_each_line_is_at_the_top_once_whatever_dies_or_is_cut(tmp_path: Path, forks: Forks) -> None:
    _chaos(forks, tmp_path, rounds=ROUNDS, seconds=0.0, seed=10)


@pytest.mark.soak
def test_each_line_is_at_the_top_once_after_long_chaos(tmp_path: Path, forks: Forks) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    _chaos(forks, tmp_path, ROUNDS, float(os.environ.get("WEIR_SOAK_CHAIN_SECONDS", SOAK_SECONDS)), seed)


def _chaos(forks: Forks, folder: Path, rounds: int, seconds: float, seed: int) -> None:
    """So many rounds, and more until the time is over; in each every server is killed and every fault happens."""
    random = Random(seed)
    first_ts = time.time_ns() - HOUR
    until = time.monotonic() + seconds
    with Chain(forks, folder) as chain:
        senders = [Sender(number, SENDERS, lambda: chain.edge.url, first_ts, seed) for number in range(SENDERS)]
        done = 0
        try:
            while done < rounds or time.monotonic() < until:
                done += 1
                every: list[ForkedServer | Fault] = [*chain.servers, *FAULTS]
                for bad in random.sample(every, len(every)):
                    time.sleep(random.uniform(0.05, 0.4))
                    if isinstance(bad, Fault):
                        wire = random.choice(chain.wires)
                        wire.suffer(bad, answer_bytes=random.choice((0, 1, 15, 40, 100)))
                        time.sleep(random.uniform(0.05, 1.2 if bad is Fault.STALL else 0.4))
                        wire.suffer(Fault.NONE)
                    else:
                        bad.kill()
                        time.sleep(random.choice((0.0, 0.0, 0.3)))
                        chain.start(bad)
        finally:
            chain.mend()
            for sender in senders:
                sender.finish()
        assert [fault for sender in senders for fault in sender.faults] == []
        assert chain.drained(), [relay_status(server.url) for server in chain.servers]
        sent = {entry for sender in senders for entry in sender.acknowledged}
        _check_top(chain, sent, first_ts)
        # What is true of memory and log is true of blocks, and after one more start.
        with Connection(chain.central.url) as connection:
            assert connection.ask("POST", "/flush").status == 204
        for server in chain.servers:
            chain.restart(server)
        assert chain.drained()
        _check_top(chain, sent, first_ts)
        print(f"{done} rounds, {len(sent)} lines")
        # The test did its work.
        assert len(sent) > 50 * done


def _check_top(chain: Chain, sent: set[Entry], first_ts: int) -> None:
    found = read_entries(chain.central.url, first_ts, first_ts + 2 * HOUR)
    wanted = {arrived(entry) for entry in sent}
    _none(wanted - found.keys(), "sent and not at the top")
    _none(found.keys() - wanted, "nobody sent it so")
    _none({entry for entry, count in found.items() if count > 1}, "there twice")
    # Equal entries are shown once however often they came: what was taken in is counted where it cannot be forgotten.
    records = {each["instance"]: each["records"] for each in relay_status(chain.central.url)["instances"]}
    assert records == {"regional": len(sent)}
    assert {each["instance"]: each["records"] for each in relay_status(chain.regional.url)["instances"]} == {
        "edge": len(sent)
    }


def arrived(entry: Entry) -> Entry:
    """What an entry is at the top."""
    labels, ts, text, metadata = entry
    return labels | {REGION}, ts, text, metadata | {("detected_level", "unknown")}


def _none(entries: set[Entry], fault: str) -> None:
    assert not entries, (
        f"{fault}: {len(entries)}, as {sorted((ts, text.rstrip('x')) for _, ts, text, _ in entries)[:5]}"
    )


# ---------------------------------------------------------------- what chaos meets by chance, one by one


def push(url: str, text: str, ts: int) -> Entry:
    """One line, pushed."""
    labels = {"app": "a", "service_name": "a", "job": "chain"}
    body = {"streams": [{"stream": labels, "values": [[str(ts), text]]}]}
    with Connection(url) as connection:
        assert connection.push(json.dumps(body).encode()).status == 204
    return frozenset(labels.items()), ts, text, frozenset()


def test_a_batch_that_central_stored_before_it_died_is_answered_deduplicated(tmp_path: Path, forks: Forks) -> None:
    ts = time.time_ns()
    with Chain(forks, tmp_path) as chain:
        chain.top.suffer(Fault.NO_ANSWERS)
        entry = push(chain.edge.url, "once", ts)
        # The answer is on the wire: the batch is durable, and nobody was told.
        assert wait_until(lambda: chain.top.held > 0)
        chain.central.kill()
        chain.top.suffer(Fault.DROP)  # the answer is lost
        chain.start(chain.central)
        assert read_entries(chain.central.url, ts, ts + 1) == Counter([arrived(entry)])
        chain.top.suffer(Fault.NONE)
        assert chain.drained()
        _check_top(chain, {entry}, ts)
        (batch,) = batches(chain.regional.url)
        assert (batch["status"], batch["records"], batch["retries"] > 0) == ("archived", 1, True)
        with Connection(chain.central.url) as connection:
            assert "\nweir_deduplicated_batches_total 1.0\n" in connection.get("/metrics").text


def test_a_batch_whose_id_another_has_gets_a_new_one(tmp_path: Path, forks: Forks) -> None:
    ts = time.time_ns()
    with Chain(forks, tmp_path) as chain:
        chain.top.suffer(Fault.DROP)
        entry = push(chain.edge.url, "mine", ts)
        assert wait_until(lambda: bool(batches(chain.regional.url)) and batches(chain.regional.url)[0]["retries"] > 0)
        (batch,) = batches(chain.regional.url)
        other = {"streams": [{"stream": {"app": "other"}, "values": [[str(ts), "not yours"]]}]}
        with Connection(chain.central.url) as connection:
            headers = {"X-Weir-Batch-Id": batch["uuid"]}
            assert connection.push(json.dumps(other).encode(), headers).status == 204
        chain.top.suffer(Fault.NONE)
        assert chain.drained()
        found = batches(chain.regional.url, status="archived")
        assert [each["records"] for each in found] == [1]
        assert batch["uuid"] not in {each["uuid"] for each in found}
        _check_top(chain, {entry}, ts)
        assert read_entries(chain.central.url, ts, ts + 1, '{app="other"}').total() == 1


def test_what_is_in_flight_when_the_sender_dies_is_sent_under_the_same_id(tmp_path: Path, forks: Forks) -> None:
    ts = time.time_ns()
    with Chain(forks, tmp_path) as chain:
        chain.top.suffer(Fault.NO_ANSWERS)
        entry = push(chain.edge.url, "once", ts)
        assert wait_until(lambda: chain.top.held > 0)
        (before,) = batches(chain.regional.url)
        chain.regional.kill()
        chain.top.suffer(Fault.DROP)  # the answer is lost
        chain.start(chain.regional)
        chain.top.suffer(Fault.NONE)
        assert chain.drained()
        assert [each["uuid"] for each in batches(chain.regional.url)] == [before["uuid"]]
        _check_top(chain, {entry}, ts)


def test_an_outage_is_seen_and_ends_by_itself(tmp_path: Path, forks: Forks) -> None:
    ts = time.time_ns()
    with Chain(forks, tmp_path) as chain:
        chain.central.kill()
        entries = {push(chain.edge.url, f"line {number}", ts + number) for number in range(5)}
        assert wait_until(lambda: pending(chain.regional.url) == 5)
        assert wait_until(lambda: relay_status(chain.regional.url)["relays"][0]["failures"] > 1)
        (relay,) = relay_status(chain.regional.url)["relays"]
        assert relay["error"]
        assert relay["backlog"]["records"] == 5
        assert relay["backlog"]["bytes"] == sum(len(text.encode()) for _, _, text, _ in entries)
        assert 0 < relay["backlog"]["oldest_seconds"] < time.time() - ts / 1e9 + 60
        chain.start(chain.central)
        assert chain.drained()
        (relay,) = relay_status(chain.regional.url)["relays"]
        assert (relay["failures"], relay["error"], relay["backlog"]["records"]) == (0, "", 0)
        assert (relay["records"]["total"], relay["records"]["archived"]) == (5, 5)
        _check_top(chain, entries, ts)
