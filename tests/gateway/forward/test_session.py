"""What a sender sees of the door: acknowledgements and their order, duplicates, back-pressure, ends of connections."""

from __future__ import annotations

import asyncio
import gzip
import random
import socket
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import msgpack
import pytest
import zstandard

from gateway.forward import intake
from gateway.forward.messages import ack
from tests.gateway.forward.door import HeldStore, PlainMapped, PlainMapper, open_door, until

ENTRY = [1700000000, {"log": "a line"}]
PACKED = msgpack.packb(ENTRY)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


# -- acknowledgements


def test_an_ack_is_the_chunk_as_it_was_sent() -> None:
    async def main() -> None:
        async with open_door() as door:
            sender = await door.connect()
            sender.send("app", [ENTRY], {"chunk": "with a newline\n", "size": 1})
            assert await sender.receive() == {"ack": "with a newline\n"}
            sender.send("app", *ENTRY, {"chunk": b"\xff\x00 bytes"})
            assert await sender.receive() == {"ack": b"\xff\x00 bytes"}
            sender.send("app", PACKED, {"chunk": 17})
            assert await sender.receive() == {"ack": 17}
            assert door.store.lines == [b"a line"] * 3
            assert door.figures.messages == {"forward": 1, "message": 1, "packed": 1}
            sender.writer.close()

    run(main)


def test_nothing_is_acknowledged_before_it_is_on_disk_and_then_in_order() -> None:
    async def main() -> None:
        store = HeldStore(hold=True)
        async with open_door(store) as door:
            sender = await door.connect()
            for number in range(5):
                sender.send("app", [[number, {"log": str(number)}]], {"chunk": f"c{number}"})
            await until(lambda: len(store.waiting) == 5)
            assert door.figures.acks == 0
            for late in reversed(store.waiting):  # the disk is done with them in another order
                late()
            store.waiting.clear()
            assert [await sender.receive() for _ in range(5)] == [{"ack": f"c{number}"} for number in range(5)]
            sender.writer.close()

    run(main)


def test_a_chunk_of_no_entries_is_acknowledged() -> None:
    async def main() -> None:
        async with open_door() as door:
            assert await door.replay(msgpack.packb(["app", b"", {"chunk": "x"}])) == ack(b"\xa1x")
            assert await door.replay(msgpack.packb(["app", [], {"chunk": "x"}])) == ack(b"\xa1x")
            assert door.store.lines == []

    run(main)


def test_half_closed_senders_get_their_acks_and_then_the_end() -> None:
    async def main() -> None:
        async with open_door() as door:
            wire = b"".join(msgpack.packb(["app", [ENTRY], {"chunk": f"{number:03}"}]) for number in range(300))
            got = await door.replay(wire)
            assert got == b"".join(ack(msgpack.packb(f"{number:03}")) for number in range(300))
            assert len(door.store.lines) == 300

    run(main)


def test_heartbeats_and_empty_connections_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with open_door() as door:
            assert await door.replay(b"") == b""
            assert await door.replay(b"\xc0\xc0" + msgpack.packb(["app", [ENTRY]]) + b"\xc0") == b""
            assert door.store.lines == [b"a line"]
            assert not door.figures.closed

    run(main)
    assert capsys.readouterr() == ("", "")


def test_single_messages_that_come_together_are_taken_in_together_in_order() -> None:
    async def main() -> None:
        mapper = PlainMapper()
        async with open_door(mapper=mapper) as door:
            wire = b"".join(msgpack.packb(["a", n, {"log": str(n)}]) for n in range(600))
            wire += msgpack.packb(["b", 1, {"log": "b"}]) + msgpack.packb(["a", 1, {"log": "last"}, {"k": "v"}])
            assert await door.replay(wire) == b""
            assert door.store.lines == [*(str(n).encode() for n in range(600)), b"b", b"last"]
            assert len(mapper.calls) < 100
            assert [call[0] for call in mapper.calls][-2:] == [b"b", b"a"]

    run(main)


# -- what can never be stored


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (["app", b"\x80", {"chunk": "x", "fluent_signal": 1}], "signal"),
        (["app", [[1, [{}]]], {"chunk": "x", "fluent_signal": 2}], "signal"),
        ([5, 1, {}, {"chunk": "x"}], "tag_type"),
    ],
)
def test_what_can_never_be_stored_is_acknowledged_and_counted(message: list[Any], reason: str) -> None:
    async def main() -> None:
        async with open_door() as door:
            sender = await door.connect()
            sender.send(*message)
            assert await sender.receive() == {"ack": "x"}
            sender.send("app", [ENTRY], {"chunk": "y"})  # the connection goes on
            assert await sender.receive() == {"ack": "y"}
            assert door.figures.dropped == {reason: 1}
            assert door.store.lines == [b"a line"]
            sender.writer.close()

    run(main)


def test_bad_entries_are_counted_and_the_good_ones_kept() -> None:
    async def main() -> None:
        async with open_door() as door:
            sender = await door.connect()
            sender.send("app", [ENTRY, 5, ENTRY], {"chunk": "x"})
            assert await sender.receive() == {"ack": "x"}
            sender.send("app", PACKED + b"\xc1\xc1", {"chunk": "y"})
            assert await sender.receive() == {"ack": "y"}
            assert len(door.store.lines) == 3
            assert door.figures.bad_entries == {"entry": 2}
            sender.writer.close()

    run(main)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("said", ["gzip", "zstd", "text", "lz4", None])
def test_compression_is_told_by_the_bytes_whatever_the_option_says(
    compress: Callable[[bytes], bytes], said: str | None
) -> None:
    async def main() -> None:
        async with open_door() as door:
            sender = await door.connect()
            sender.send("app", compress(PACKED) + compress(PACKED * 2000), {"chunk": "x", "compressed": said})
            assert await sender.receive() == {"ack": "x"}
            sender.send("app", PACKED, {"chunk": "y", "compressed": said})
            assert await sender.receive() == {"ack": "y"}
            assert len(door.store.lines) == 2002
            sender.writer.close()

    run(main)


def test_a_payload_cut_short_is_kept_as_far_as_it_goes_and_acknowledged() -> None:
    async def main() -> None:
        async with open_door() as door:
            sender = await door.connect()
            sender.send("app", gzip.compress(PACKED) + gzip.compress(PACKED)[:-4], {"chunk": "x"})
            assert await sender.receive() == {"ack": "x"}
            assert len(door.store.lines) >= 1
            assert door.figures.damaged == 1
            sender.writer.close()

    run(main)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_bomb_is_dropped_counted_and_acknowledged(compress: Callable[[bytes], bytes]) -> None:
    async def main() -> None:
        async with open_door(max_unpacked="1MB") as door:
            sender = await door.connect()
            sender.send("app", compress(bytes(60 << 20)), {"chunk": "x"})
            assert await sender.receive() == {"ack": "x"}
            assert door.figures.dropped == {"unpacks_too_long": 1}
            assert door.store.batches == []
            sender.writer.close()

    run(main)


def test_what_a_compressed_payload_takes_is_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0

    async def main() -> None:
        nonlocal most
        async with open_door(mapper=PlainMapper()) as door:
            budget = door.gateway.ingest
            take = budget.take

            def watched(size: int) -> bool:
                nonlocal most
                taken = take(size)
                most = max(most, budget.used)
                return taken

            monkeypatch.setattr(budget, "take", watched)
            # One entry that is none: the mapping makes nothing of it.
            entries = gzip.compress(b"\xc6" + (8 << 20).to_bytes(4, "big") + random.Random(1).randbytes(8 << 20), 1)
            data = msgpack.packb(["app", entries])
            del entries
            way = intake.Intake(door.gateway, lambda *_, **__: PlainMapped({}, {}))
            tracemalloc.start()
            try:
                taken = await way.take(data)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
                way.close()
            assert budget.used > 16 << 20
            taken.end()
            assert budget.used == 0
            assert len(data) + peak < most + (4 << 20)

    run(main)


# -- duplicates


def test_a_chunk_that_comes_again_is_acknowledged_and_not_stored_again() -> None:
    async def main() -> None:
        async with open_door() as door:
            message = msgpack.packb(["app", PACKED, {"chunk": "x"}])
            assert await door.replay(message) == ack(b"\xa1x")
            assert await door.replay(message + message) == ack(b"\xa1x") * 2
            assert door.store.lines == [b"a line"]
            assert door.figures.deduplicated == 2

    run(main)


@pytest.mark.parametrize(
    "other",
    [
        ["other", PACKED, {"chunk": "x"}],
        ["app", PACKED + PACKED, {"chunk": "x"}],
        ["app", PACKED, {"chunk": "z"}],
        ["app", PACKED],
    ],
)
def test_another_tag_other_entries_or_another_id_is_no_duplicate(other: list[Any]) -> None:
    async def main() -> None:
        async with open_door() as door:
            await door.replay(msgpack.packb(["app", PACKED, {"chunk": "x"}]))
            await door.replay(msgpack.packb(other))
            assert len(door.store.lines) >= 2
            assert door.figures.deduplicated == 0

    run(main)


def test_a_second_arrival_waits_for_the_first() -> None:
    async def main() -> None:
        store = HeldStore(hold=True)
        async with open_door(store) as door:
            first, second = await door.connect(), await door.connect()
            for sender in (first, second):
                sender.send("app", [ENTRY], {"chunk": "x"})
            await until(lambda: len(store.waiting) == 1 and door.figures.messages["forward"] == 2)
            assert door.figures.acks == 0
            store.release()
            assert await first.receive() == await second.receive() == {"ack": "x"}
            assert store.lines == [b"a line"]
            assert door.figures.deduplicated == 1
            first.writer.close()
            second.writer.close()

    run(main)


def test_a_second_arrival_is_stored_when_the_first_was_not() -> None:
    async def main() -> None:
        store = HeldStore(refuse=1)
        async with open_door(store, hold_ack=0) as door:
            first = await door.connect()
            first.send("app", [ENTRY], {"chunk": "x"})
            assert await first.gone()
            second = await door.connect()
            second.send("app", [ENTRY], {"chunk": "x"})
            assert await second.receive() == {"ack": "x"}
            assert store.lines == [b"a line"]
            second.writer.close()

    run(main)


# -- what cannot be stored now


def test_an_ack_is_held_back_while_nothing_can_be_stored() -> None:
    async def main() -> None:
        store = HeldStore(refuse=2)
        async with open_door(store) as door:
            sender = await door.connect()
            sender.send("app", [ENTRY], {"chunk": "x"})
            assert await sender.receive() == {"ack": "x"}
            assert store.refuse == 0
            assert store.lines == [b"a line"]
            assert not door.figures.closed
            sender.writer.close()

    run(main)


def test_after_too_long_the_connection_ends_without_an_ack() -> None:
    async def main() -> None:
        async with open_door(HeldStore(refuse=1000), hold_ack="300ms") as door:
            sender = await door.connect()
            sender.send("app", [ENTRY], {"chunk": "x"})
            assert await sender.gone()
            assert door.figures.closed == {"not_stored": 1}
            assert door.figures.acks == 0

    run(main)


def test_a_connection_whose_messages_are_not_stored_is_read_no_further() -> None:
    async def main() -> None:
        store = HeldStore(hold=True)
        async with open_door(store, max_in_flight="100KB") as door:
            sender = await door.connect()
            message = msgpack.packb(["app", [[1, {"log": "x" * 30_000}]]])
            for _ in range(200):
                sender.write(message)
            await until(lambda: len(store.waiting) == 3)
            await asyncio.sleep(0.05)
            assert door.figures.messages["forward"] <= 200
            assert len(store.waiting) == 3
            assert door.gateway.ingest.used <= 4 * len(message)
            store.release()
            await until(lambda: len(store.lines) == 200)
            sender.writer.close()

    run(main)


def test_the_budget_of_all_doors_holds_for_this_one() -> None:
    async def main() -> None:
        store = HeldStore(hold=True)
        async with open_door(store, server={"ingest_in_flight": "100KB", "push_wait": "50ms"}) as door:
            senders = [await door.connect() for _ in range(5)]
            for sender in senders:
                sender.send("app", [[1, {"log": "x" * 60_000}]], {"chunk": str(id(sender))})
            await until(lambda: len(store.waiting) == 1)
            await asyncio.sleep(0.1)  # longer than one wait for room: it is asked for again
            assert (len(store.waiting), door.figures.acks) == (1, 0)
            store.release()
            for sender in senders:
                assert await sender.receive() == {"ack": str(id(sender))}
                sender.writer.close()

    run(main)


def test_a_message_over_the_rate_waits_until_there_is_room() -> None:
    async def main() -> None:
        async with open_door(limits={"ingestion_rate_mb": 0.1, "ingestion_burst_size_mb": 0.1}) as door:
            sender = await door.connect()
            for number in range(3):
                sender.send("app", [[1, {"log": f"{number}" + "x" * 60_000}]], {"chunk": str(number)})
            assert [await sender.receive() for _ in range(3)] == [{"ack": str(number)} for number in range(3)]
            assert len(door.store.lines) == 3
            sender.writer.close()

    run(main)


# -- limits of a connection


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not_a_message"),
        (b"\x92\xa1t\xc1", "not_msgpack"),
        (b"\x92\xa1t\xdb\xff\xff\xff\xff", "too_long"),
        (b"\x91" * 100, "too_deep"),
    ],
)
def test_a_bad_connection_ends_at_once_with_one_line_and_one_count(
    wire: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with open_door() as door:
            sender = await door.connect()
            sender.write(msgpack.packb(["app", [ENTRY], {"chunk": "x"}]) + wire)
            assert await sender.receive() == {"ack": "x"}  # what came before it is good
            assert await sender.gone()
            assert door.figures.closed == {reason: 1}

    run(main)
    lines = [record for record in caplog.records if record.name == "weir.forward"]
    assert [record.fields["reason"] for record in lines] == [reason]  # type: ignore[attr-defined]


@pytest.mark.parametrize("end", ["eof", "reset"])
def test_a_message_that_stays_in_part_is_counted(end: str) -> None:
    async def main() -> None:
        async with open_door() as door:
            sender = await door.connect()
            sender.write(msgpack.packb(["app", [ENTRY], {"chunk": "x"}]) + b"\x93\xa3app\x91")
            assert await sender.receive() == {"ack": "x"}
            if end == "eof":
                sender.writer.write_eof()
                assert await sender.gone()
            else:
                raw = sender.writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sender.writer.transport.abort()
            await until(lambda: door.figures.closed["cut_short"] == 1)
            assert door.store.lines == [b"a line"]

    run(main)


def test_a_slow_message_ends_the_connection_and_a_quiet_one_does_not() -> None:
    async def main() -> None:
        async with open_door(message_timeout="200ms", idle_timeout=0) as door:
            quiet, slow = await door.connect(), await door.connect()
            slow.write(b"\x93")
            assert await slow.gone()
            assert door.figures.closed == {"slow": 1}
            quiet.send("app", [ENTRY], {"chunk": "x"})
            assert await quiet.receive() == {"ack": "x"}
            quiet.writer.close()

    run(main)


def test_an_idle_connection_ends() -> None:
    async def main() -> None:
        async with open_door(idle_timeout="100ms") as door:
            sender = await door.connect()
            assert await sender.gone()
            assert door.figures.closed == {"idle": 1}

    run(main)


def test_who_stands_still_in_a_large_message_makes_room_for_who_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.forward.buffers.STALLED", 0.0)

    async def main() -> None:
        async with open_door(max_buffered="1MB") as door:
            head = b"\x92\xa3app\xc6" + (2 << 20).to_bytes(4, "big")
            idlers = [await door.connect() for _ in range(6)]
            for idler in idlers:
                idler.write(head + bytes(300_000))
            await until(lambda: door.figures.buffered >= (700 << 10))
            sender = await door.connect()
            sender.send("app", PACKED * 30_000, {"chunk": "x"})
            assert await sender.receive() == {"ack": "x"}
            assert 0 < door.figures.closed["stalled"] <= 6
            for each in (*idlers, sender):
                each.writer.transport.abort()

    run(main)


# -- the end of the server


def test_a_stop_acknowledges_what_came_and_lets_a_begun_message_end() -> None:
    async def main() -> None:
        store = HeldStore(hold=True)
        async with open_door(store) as door:
            idle, waiting, begun = [await door.connect() for _ in range(3)]
            waiting.send("app", [ENTRY], {"chunk": "w"})
            message = msgpack.packb(["app", [ENTRY], {"chunk": "b"}])
            begun.write(message[:5])
            await until(lambda: len(store.waiting) == 1 and door.figures.connections == 3)
            stopping = asyncio.ensure_future(door.listener.stop(10))
            assert await idle.gone()
            with pytest.raises(ConnectionError):
                await door.connect()
            store.release()
            assert await waiting.receive() == {"ack": "w"}
            begun.write(message[5:])
            assert await begun.receive() == {"ack": "b"}
            assert await stopping
            for each in (waiting, begun):
                assert await each.gone()

    run(main)


def test_connections_that_do_not_end_in_time_are_cut() -> None:
    async def main() -> None:
        async with open_door(HeldStore(hold=True)) as door:
            sender = await door.connect()
            sender.send("app", [ENTRY], {"chunk": "x"})
            await until(lambda: len(door.store.waiting) == 1)
            assert not await door.listener.stop(0.05)
            assert await door.listener.cut() == 1
            assert await sender.gone()
            assert door.figures.acks == 0

    run(main)


def test_dropped_messages_are_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with open_door() as door:
            await door.replay(msgpack.packb([5, 1, {}, {"chunk": "x"}]) * 50)
            assert door.figures.dropped == {"tag_type": 50}

    assert intake.TELL_EVERY > 1
    run(main)
    assert [record.message for record in caplog.records] == ["messages dropped: tag_type"]
