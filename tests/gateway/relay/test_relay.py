"""One relay over a real store, with a destination that says what the test wants."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from uuid import UUID

import pytest

from config import ConfigError, load
from gateway.relay import backoff
from gateway.relay.build import check_relays
from gateway.relay.relays import Relays
from gateway.relay.sink import Archived, Conflict, Failed, Outcome, Outgoing, Refused, RelayOptions
from storage import Store, StoreOptions, open_store
from storage.batch import Batch
from storage.build import BatchBuilder
from storage.errors import StorageError
from tests.gateway.weir_command import weir


class Scripted:
    """A sink that gives outcomes one by one, then takes everything."""

    kind = "scripted"
    destination = "nowhere"

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = list(outcomes)
        self.sent: list[tuple[UUID, list[str]]] = []
        self.closed = False

    async def send(self, outgoing: Outgoing) -> Outcome:
        self.sent.append((outgoing.uuid, [line.decode() for line in outgoing.batch.lines.tolist()]))
        return self._outcomes.pop(0) if self._outcomes else Archived()

    async def close(self) -> None:
        self.closed = True


class Alarms:
    """Alerts as they are now."""

    def __init__(self) -> None:
        self.active: dict[str, Mapping[str, str]] = {}
        self.ever: set[str] = set()

    def raised(self, key: str, summary: str, details: Mapping[str, str], severity: str = "error") -> None:
        del severity
        self.active[key] = {"summary": summary, **details}
        self.ever.add(key)

    def resolved(self, key: str) -> None:
        self.active.pop(key, None)


def batch(*lines: str) -> Batch:
    builder = BatchBuilder()
    stream = builder.add_stream((("app", "api"),))
    for at, line in enumerate(lines):
        builder.add(stream, 10**18 + at, line.encode())
    return builder.build()


async def stored(store: Store, *lines: str) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def told(receipt: object) -> None:
        assert not isinstance(receipt, StorageError)
        loop.call_soon_threadsafe(done.set_result, None)

    store.append("fake", batch(*lines), told)
    await done


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - what is looked at is a plain value
            await asyncio.sleep(0.005)


def relayed(
    folder: Path,
    sink: Scripted,
    test: Callable[[Store, Relays, Alarms], Awaitable[None]],
    **options: object,
) -> None:
    """Runs a test beside a relay that sends what comes in at once."""

    async def main() -> None:
        store = open_store(folder, StoreOptions(reserve=1 << 16))
        plain: dict[str, object] = {"batch_interval": 1, "notify_after": 2, **options}
        relays = Relays([(RelayOptions("up", **plain), sink)])  # type: ignore[arg-type]
        alarms = Alarms()
        await relays.start(store, alarms)
        try:
            await test(store, relays, alarms)
        finally:
            assert await relays.stop(30)
            store.close()
        assert sink.closed

    asyncio.run(main())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST", 0.01)
    monkeypatch.setattr("gateway.relay.relay.LOOK_EVERY", 0.005)


def test_an_alert_is_raised_after_so_many_failures_and_is_over_with_a_success(tmp_path: Path) -> None:
    sink = Scripted(Failed("no"), Failed("no"), Failed("still no"))

    async def test(store: Store, relays: Relays, alarms: Alarms) -> None:
        await stored(store, "one")
        await until(lambda: "relay/up" in alarms.active)
        assert alarms.active["relay/up"]["error"] in ("no", "still no")
        await until(lambda: relays.known()[0].last_success > 0)
        await until(lambda: not alarms.active)
        assert len({uuid for uuid, _ in sink.sent}) == 1

    relayed(tmp_path, sink, test)


def test_an_emitter_that_may_discard_gives_up_and_goes_on(tmp_path: Path) -> None:
    sink = Scripted(Failed("no"), Failed("no"))

    async def test(store: Store, relays: Relays, alarms: Alarms) -> None:
        await stored(store, "lost")
        await until(lambda: relays.known()[0].given_up == 1)
        assert alarms.active
        await stored(store, "kept")
        await until(lambda: relays.known()[0].last_success > 0)
        assert [lines for _, lines in sink.sent] == [["lost"], ["lost"], ["kept"]]
        assert not alarms.active

    relayed(tmp_path, sink, test, on_failure="discard")


def test_a_conflict_is_sent_under_another_id_and_a_second_one_is_a_failure(tmp_path: Path) -> None:
    sink = Scripted(Conflict("taken"), Conflict("taken again"))

    async def test(store: Store, relays: Relays, alarms: Alarms) -> None:
        await stored(store, "one")
        await until(lambda: relays.known()[0].last_success > 0)
        first, second, third = [uuid for uuid, _ in sink.sent]
        assert first != second == third
        assert not alarms.ever
        assert relays.known()[0].totals["archived"].records == 1

    relayed(tmp_path, sink, test)


def test_an_operator_has_a_refused_batch_sent_again(tmp_path: Path) -> None:
    sink = Scripted(Refused("too old"))

    async def test(store: Store, relays: Relays, alarms: Alarms) -> None:
        await stored(store, "one")
        await until(lambda: "relay/up/refused" in alarms.active)
        await stored(store, "two")
        await until(lambda: len(sink.sent) == 2)
        uuid = sink.sent[0][0]
        assert (await relays.retry(uuid)).uuid == uuid
        await until(lambda: len(sink.sent) == 3)
        assert sink.sent[2] == (uuid, ["one"])
        await until(lambda: not alarms.active)

    relayed(tmp_path, sink, test)


def test_an_operator_need_not_wait_for_the_next_try_and_may_give_a_batch_up(tmp_path: Path) -> None:
    hour = Failed("later", retry_after=3600)
    sink = Scripted(hour, hour)

    async def test(store: Store, relays: Relays, alarms: Alarms) -> None:
        del alarms
        await stored(store, "one")
        await until(lambda: relays.known()[0].state == "failing")
        await relays.retry_all()
        await until(lambda: len(sink.sent) == 2 and relays.known()[0].state == "failing")
        await stored(store, "two")
        removed = await relays.remove(sink.sent[0][0])
        assert (removed.status, removed.records) == ("removed", 1)
        await until(lambda: len(sink.sent) == 3)
        assert sink.sent[2][1] == ["two"]

    relayed(tmp_path, sink, test)


def test_all_that_a_relay_has_to_send_can_be_given_up(tmp_path: Path) -> None:
    sink = Scripted(Failed("later", retry_after=3600))

    async def test(store: Store, relays: Relays, alarms: Alarms) -> None:
        del alarms
        await stored(store, "one", "two")
        await until(lambda: relays.known()[0].state == "failing")
        await stored(store, "three")
        assert await relays.remove_relay("up") == 3
        await stored(store, "four")
        await until(lambda: len(sink.sent) == 2)
        assert sink.sent[1][1] == ["four"]

    relayed(tmp_path, sink, test)


@pytest.mark.parametrize("everything", [True, False])
def test_a_relay_with_nothing_left_to_send_does_not_fail_any_more(tmp_path: Path, *, everything: bool) -> None:
    sink = Scripted(*[Failed("gone")] * 3, Failed("gone", retry_after=3600))

    async def test(store: Store, relays: Relays, alarms: Alarms) -> None:
        await stored(store, "one")
        await until(lambda: len(sink.sent) == 4 and "relay/up" in alarms.active)
        if everything:
            await relays.remove_relay("up")
        else:
            await relays.remove(sink.sent[0][0])
        assert alarms.active == {}
        (figures,) = await relays.figures()
        assert (figures.failures, figures.last_error, figures.backlog.rows) == (0, "", 0)

    relayed(tmp_path, sink, test)


def test_a_relay_of_no_setting_is_listed_and_forgotten_on_request(tmp_path: Path) -> None:
    store = open_store(tmp_path, StoreOptions(reserve=1 << 16))
    store.outbox.subscribe("old")
    store.close()

    async def test(store: Store, relays: Relays, alarms: Alarms) -> None:
        del alarms
        await stored(store, "one")
        gone = [each for each in await relays.figures() if each.state == "gone"]
        assert [(each.name, each.backlog.rows) for each in gone] == [("old", 1)]
        assert await relays.remove_relay("old") == 1
        assert [each.name for each in await relays.figures()] == ["up"]
        assert set(store.outbox.cursors()) == {"up"}

    relayed(tmp_path, Scripted(), test)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("upstream: {enabled: true, url: http://a, selector: app=x}", "upstream upstream: selector: 'app=x' is not a"),
        ("upstreams: [{name: x, url: http://a, selector: '{app=~\"(\"}'}]", "upstream x: selector: "),
        ("upstreams: [{name: x, url: https://a, tls: {ca: /no/such.pem}}]", "upstream x: tls: "),
        (
            "upstreams: [{name: blackhole, url: http://a}]\nemitters: [{kind: blackhole}]",
            "emitter blackhole: there is upstream blackhole too",
        ),
    ],
)
def test_settings_of_which_no_relay_can_be_made(tmp_path: Path, settings: str, problem: str) -> None:
    file = tmp_path / "weir.yml"
    file.write_text(settings)
    with pytest.raises(ConfigError) as error:
        check_relays(load(file).settings)
    (found,) = error.value.problems
    assert found.startswith(problem)


def test_what_is_not_enabled_need_not_be_usable(tmp_path: Path) -> None:
    file = tmp_path / "weir.yml"
    file.write_text("upstream: {url: https://a, selector: app=x, tls: {ca: /no/such.pem}}")
    check_relays(load(file).settings)


def test_the_command_takes_the_variables_of_the_folder_where_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("UPSTREAM_ENABLED=true\nUPSTREAM_SERVER=https://central\nUPSTREAM_API_KEY=s3cret\n")
    monkeypatch.chdir(tmp_path)
    shown = weir("config", "show", "--diff")
    assert shown.returncode == 0, shown.stderr
    assert "url: https://central\n" in shown.stdout
    assert "s3cret" not in shown.stdout
    (tmp_path / ".env").write_text(
        "UPSTREAM_ENABLED=true\nUPSTREAM_SERVER=https://central\nWEIR_UPSTREAM__SELECTOR=x\n"
    )
    refused = weir("config", "check")
    assert refused.returncode == 2
    assert "upstream upstream: selector: 'x' is not a stream selector" in refused.stderr


def test_a_batch_that_is_given_up_while_it_is_sent_holds_nothing_up(tmp_path: Path) -> None:
    """The order to give it up waits on the relay's thread while the answer to the batch comes in."""
    sink = Scripted(Failed("busy"))
    sending = asyncio.Event()
    go_on = asyncio.Event()
    send = sink.send

    async def slowly(outgoing: Outgoing) -> Outcome:
        outcome = await send(outgoing)
        if not sending.is_set():
            sending.set()
            await go_on.wait()
        return outcome

    sink.send = slowly  # type: ignore[method-assign]

    async def test(store: Store, relays: Relays, _alarms: Alarms) -> None:
        await stored(store, "one")
        await sending.wait()
        (relay,) = relays._relays.values()
        uuid = sink.sent[0][0]
        busy = threading.Event()
        held = relay._thread.submit(busy.wait)
        removing = asyncio.ensure_future(relay.remove(uuid, "removed"))
        await asyncio.sleep(0)
        go_on.set()
        for _ in range(10):
            await asyncio.sleep(0)
        busy.set()
        await asyncio.wrap_future(held)
        await removing
        await stored(store, "two")
        await until(lambda: ["two"] in [lines for _, lines in sink.sent])
        await until(lambda: store.outbox.ledger.open_batches("up") == [])

    relayed(tmp_path / "data", sink, test)
