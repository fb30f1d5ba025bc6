"""Batches made of the log, over a real store: nothing is lost, doubled or reordered, whatever becomes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import Queue
from uuid import UUID, uuid4

import pytest

from gateway.relay.book import Book
from gateway.relay.errors import UnknownBatch
from gateway.relay.selection import Selection
from storage import Receipt, Store, StoreOptions, open_store
from storage.build import BatchBuilder
from storage.errors import StorageError
from storage.outbox.ledger import RelayBatch

HOUR = 3600 * 10**9


def stored(store: Store, rows: Sequence[tuple[str, str]], tenant: str = "fake") -> None:
    """Rows of (app, line), in one push."""
    builder = BatchBuilder()
    numbers = {app: builder.add_stream((("app", app),)) for app in dict.fromkeys(app for app, _ in rows)}
    for app, line in rows:
        builder.add(numbers[app], 10**18 + len(builder), line.encode(), [("n", line.encode())])
    told: Queue[Receipt | StorageError] = Queue()
    store.append(tenant, builder.build(), told.put)
    assert isinstance(told.get(timeout=30), Receipt)


def numbered(first: int, end: int, app: str = "api") -> list[tuple[str, str]]:
    return [(app, f"{at:05}") for at in range(first, end)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "data", StoreOptions(reserve=1 << 16))
    yield opened
    opened.close()


def book(store: Store, selector: str = "", add: Mapping[str, str] | None = None, name: str = "up") -> Book:
    made = Book(name, store.outbox, Selection(selector, tuple((add or {}).items())))
    made.open()
    return made


def lines(some: Book, batch: RelayBatch) -> list[str]:
    return [line.decode() for line in some.rows(batch).lines.tolist()]


def sent(some: Book, size: int, interval: int = 0) -> list[list[str]]:
    """Everything there is, each batch archived at once."""
    found = []
    while some.next is not None or some.gather(size, interval):
        batch = some.next
        assert batch is not None
        found.append(lines(some, batch))
        assert len(found[-1]) == batch.records
        some.archived(batch)
    return found


def test_a_batch_goes_when_it_is_full_and_a_smaller_one_when_it_is_old(store: Store) -> None:
    some = book(store)
    stored(store, numbered(0, 5))
    assert not some.gather(10, HOUR)
    stored(store, numbered(5, 12))
    assert some.gather(10, HOUR)
    assert some.next is not None
    assert lines(some, some.next) == [line for _, line in numbered(0, 10)]
    some.archived(some.next)
    assert not some.gather(10, HOUR)
    assert some.waiting() > 0
    assert some.backlog().rows == 2
    assert some.gather(10, 1)
    assert sent(some, 10) == [["00010", "00011"]]
    assert some.backlog().rows == 0
    assert {status: (each.batches, each.records) for status, each in some.totals.items() if each.batches} == {
        "archived": (2, 12)
    }


def test_what_was_there_before_a_relay_is_not_sent(store: Store) -> None:
    stored(store, numbered(0, 3))
    some = book(store)
    stored(store, numbered(3, 5))
    assert sent(some, 10) == [["00003", "00004"]]


def test_a_restart_sends_the_same_rows_under_the_same_id(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = open_store(folder, StoreOptions(reserve=1 << 16))
    some = book(store, '{app="api"}')
    stored(store, [*numbered(0, 4), *numbered(0, 4, "web"), *numbered(4, 8)])
    assert some.gather(6, HOUR)
    before = some.next
    assert before is not None
    rows = lines(some, before)
    store.close()
    store = open_store(folder, StoreOptions(reserve=1 << 16))
    some = book(store, '{app="api"}')
    again = some.next
    assert again is not None
    assert (again.uuid, again.status) == (before.uuid, "sending")
    assert lines(some, again) == rows == [line for _, line in numbered(0, 6)]
    some.failed(again, "no")
    assert sent(some, 6) == [rows, ["00006", "00007"]]
    store.close()


def test_tenants_get_batches_of_their_own_which_are_archived_one_by_one(store: Store) -> None:
    some = book(store)
    for at in range(6):
        stored(store, numbered(at, at + 1), "a")
        stored(store, numbered(at, at + 1), "b")
    assert some.gather(100, 0)
    first = some.cursor
    batch = some.next
    assert batch is not None
    assert (batch.tenant, len(some.open_batches)) == ("a", 2)
    some.archived(batch)
    assert some.cursor == first
    assert some.next is not None
    assert (some.next.tenant, some.next.status) == ("b", "sending")
    assert lines(some, some.next) == [line for _, line in numbered(0, 6)]
    some.archived(some.next)
    assert some.cursor > first


@pytest.mark.parametrize("every", [2, 7, 50])
def test_a_selector_that_few_pass_fills_batches_and_never_overfills_them(store: Store, every: int) -> None:
    some = book(store, '{app="api"}')
    rows = [("api" if at % every == 0 else "web", f"{at:05}") for at in range(3000)]
    for first in range(0, 3000, 250):
        stored(store, rows[first : first + 250])
    found = sent(some, 20)
    assert [line for batch in found for line in batch] == [line for app, line in rows if app == "api"]
    assert all(18 <= len(batch) <= 20 for batch in found[:-1])
    assert some.backlog().rows < 3000


def test_what_nobody_selects_is_passed(store: Store) -> None:
    some = book(store, '{app="none"}')
    stored(store, numbered(0, 100))
    assert not some.gather(10, 0)
    assert some.backlog().rows == 0


def test_labels_are_put_over_those_of_the_stream_and_equal_streams_are_one(store: Store) -> None:
    some = book(store, add={"site": "berlin", "app": "all"})
    stored(store, [("web", "0"), ("api", "1"), ("web", "2")])
    assert some.gather(3, 0)
    assert some.next is not None
    batch = some.rows(some.next)
    assert list(batch.streams) == [(("app", "all"), ("site", "berlin"))]
    assert batch.lines.tolist() == [b"0", b"1", b"2"]


def test_a_batch_that_is_too_large_is_halved_down_to_single_rows(store: Store) -> None:
    some = book(store, '{app="api"}')
    stored(store, [*numbered(0, 40, "web"), *numbered(0, 3), *numbered(0, 9, "web"), *numbered(3, 7)])
    assert some.gather(7, 0)
    found: list[list[str]] = []
    while (batch := some.next) is not None:
        if some.halve(batch, "too large"):
            continue
        found.append(lines(some, batch))
        some.archived(batch)
    assert found == [[line] for _, line in numbered(0, 7)]
    assert some.totals["archived"].records == 7
    assert some.totals["removed"].records == 0


def test_a_conflict_draws_a_new_id_for_the_same_rows(store: Store) -> None:
    some = book(store)
    stored(store, numbered(0, 5))
    assert some.gather(3, 0)
    before = some.next
    assert before is not None
    rows = lines(some, before)
    renewed = some.renew(before, "other contents")
    assert renewed.uuid != before.uuid
    assert some.next == renewed
    assert lines(some, renewed) == rows
    assert [each.uuid for each in store.outbox.ledger.open_batches("up")] == [renewed.uuid]
    assert sent(some, 3) == [rows, ["00003", "00004"]]


def test_a_refused_batch_waits_for_an_operator_and_others_go_on(store: Store) -> None:
    some = book(store)
    stored(store, numbered(0, 9))
    uuids: list[UUID] = []
    for _ in range(2):
        assert some.gather(3, 0)
        assert some.next is not None
        uuids.append(some.next.uuid)
        some.set_aside(some.next, "entry too far behind")
    assert sent(some, 3) == [["00006", "00007", "00008"]]
    assert [each.uuid for each in some.refused] == uuids
    reopened = book(store)
    assert [each.uuid for each in reopened.refused] == uuids
    assert reopened.next is None
    reopened.retry(uuids[1])
    assert sent(reopened, 3) == [["00003", "00004", "00005"]]
    assert reopened.remove(uuids[0], "not wanted").status == "removed"
    assert not reopened.refused
    assert store.outbox.ledger.open_batches("up") == []
    for call in (reopened.retry, lambda uuid: reopened.remove(uuid, "")):
        with pytest.raises(UnknownBatch):
            call(uuid4())


def test_more_than_may_wait_is_given_up_from_the_oldest(store: Store) -> None:
    some = book(store)
    for at in range(30):
        stored(store, numbered(10 * at, 10 * at + 10))
    assert some.gather(100, HOUR)
    gone = some.trim(600, "too much")
    assert gone[0].records == 100
    assert sum(batch.bytes for batch in gone) + some.backlog().bytes == 1500
    assert some.backlog().bytes <= 600
    kept = [line for batch in sent(some, 100) for line in batch]
    assert kept == [line for _, line in numbered(sum(batch.records for batch in gone), 300)]
    assert some.totals["removed"].records == sum(batch.records for batch in gone)


def test_all_that_is_owed_can_be_given_up(store: Store) -> None:
    some = book(store)
    stored(store, [("api", ""), ("api", "")])
    assert some.gather(1, 0)
    assert some.next is not None
    some.set_aside(some.next, "no")
    assert sum(batch.records for batch in some.remove_all("removed")) == 2
    assert some.backlog().rows == 0
    assert not some.refused


def test_two_relays_do_not_know_of_one_another(store: Store) -> None:
    one, other = book(store), book(store, '{app="web"}', name="other")
    stored(store, [*numbered(0, 4), *numbered(4, 6, "web")])
    assert sent(one, 10) == [[line for _, line in numbered(0, 6)]]
    assert sent(other, 10) == [["00004", "00005"]]


def test_what_comes_while_all_is_given_up_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    some = book(store)
    stored(store, numbered(0, 5))
    give_up = Book.give_up

    def meanwhile(self: Book, batch: RelayBatch, reason: str) -> RelayBatch:
        stored(store, numbered(5, 8))
        return give_up(self, batch, reason)

    with monkeypatch.context() as patched:
        patched.setattr(Book, "give_up", meanwhile)
        assert sum(batch.records for batch in some.remove_all("removed")) == 5
    assert sent(some, 10) == [["00005", "00006", "00007"]]


@pytest.mark.parametrize("outcome", ["failed", "set_aside", "renew", "halve", "archived", "sending"])
def test_a_batch_that_was_given_up_does_not_come_back(store: Store, outcome: str) -> None:
    """An operator's word comes between a try and what is said of it."""
    some = book(store)
    stored(store, numbered(0, 6))
    assert some.gather(3, 0)
    batch = some.next
    assert batch is not None
    some.rows(batch)
    batch = some.failed(batch, "busy")
    some.remove(batch.uuid, "removed")
    arguments = [batch] if outcome in ("archived", "sending") else [batch, "no"]
    with pytest.raises(UnknownBatch):
        getattr(some, outcome)(*arguments)
    assert store.outbox.ledger.open_batches("up") == list(some.open_batches)
    assert sent(some, 10) == [["00003", "00004", "00005"]]
    totals = store.outbox.ledger.totals("up").by_status
    assert {status: tally for status, tally in some.totals.items() if tally.batches} == {
        status: tally for status, tally in totals.items() if tally.batches
    }
