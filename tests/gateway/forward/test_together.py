"""Single events taken in together: one mapping for all, a batch and an acknowledgement for each."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.forward.together import cut
from storage.batch import Batch
from storage.build import BatchBuilder
from tests.gateway.forward.door import HeldStore, PlainMapped, PlainMapper, open_door, until

rows = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.binary(max_size=9),
        st.dictionaries(st.sampled_from("abc"), st.binary(min_size=1, max_size=3)),
    ),
    min_size=1,
    max_size=12,
)


def listed(batch: Batch) -> list[Any]:
    """Every row of a batch, in plain Python."""
    return [
        (
            batch.streams[batch.stream[row]],
            int(batch.ts[row]),
            batch.lines[row],
            {name: column[row] for name, column in batch.metadata.items() if column[row] is not None},
        )
        for row in range(len(batch))
    ]


@given(rows, st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_cut_up_is_what_was_there(given_rows: list[Any], data: st.DataObject) -> None:
    builder = BatchBuilder()
    streams = [builder.add_stream((("s", str(number)),)) for number in range(4)]
    for ts, (stream, line, metadata) in enumerate(given_rows):
        builder.add(streams[stream], ts, line, [(name, value) for name, value in metadata.items()])
    batch = builder.build()
    places = data.draw(st.sets(st.integers(1, len(batch) - 1)) if len(batch) > 1 else st.just(set()))
    counts = np.diff([0, *sorted(places), len(batch)]).tolist()
    parts = list(cut(batch, counts))
    assert [len(part) for part in parts] == counts
    assert [row for part in parts for row in listed(part)] == listed(batch)
    if len(parts) > 1:
        for part in parts:  # no label set that it has no entries of
            assert sorted(set(part.stream.tolist())) == list(range(len(part.streams)))


def single(number: int | str, tag: str = "a", **option: object) -> bytes:
    packed: bytes = msgpack.packb([tag, 1, {"log": str(number)}, *([option] if option else [])])
    return packed


def test_events_of_many_connections_are_mapped_together_and_acknowledged_one_by_one() -> None:
    async def main() -> None:
        mapper = PlainMapper()
        async with open_door(mapper=mapper) as door:
            senders = [await door.connect() for _ in range(5)]
            for number, sender in enumerate(senders):
                sender.write(b"".join(single(f"{number}/{n}", chunk=f"{number}/{n}") for n in range(40)))
            for number, sender in enumerate(senders):
                assert [await sender.receive() for _ in range(40)] == [{"ack": f"{number}/{n}"} for n in range(40)]
                sender.writer.close()
            assert len(mapper.calls) <= 10
            assert len(door.store.batches) == 200
            for number in range(5):
                own = [line for line in door.store.lines if line.startswith(b"%d/" % number)]
                assert own == [b"%d/%d" % (number, n) for n in range(40)]
            assert door.figures.messages == {"message": 200}

    asyncio.run(main())


def test_a_chunk_that_comes_twice_among_others_is_stored_once() -> None:
    async def main() -> None:
        async with open_door() as door:
            wire = [single(n, chunk=f"c{n}") for n in range(6)]
            got = await door.replay(b"".join([*wire[:4], wire[2], *wire[4:], wire[0]]))
            assert _objects(got) == [{"ack": f"c{n}"} for n in (0, 1, 2, 3, 2, 4, 5, 0)]
            assert door.store.lines == [b"%d" % n for n in range(6)]
            assert door.figures.deduplicated == 2
            # Again in other company: each is known by itself.
            await door.replay(b"".join([wire[5], single("new", chunk="new"), wire[1]]))
            assert door.store.lines == [*(b"%d" % n for n in range(6)), b"new"]

    asyncio.run(main())


def _objects(data: bytes) -> list[Any]:
    unpacker = msgpack.Unpacker(raw=False)
    unpacker.feed(data)
    return list(unpacker)


def test_an_event_that_makes_no_row_leaves_the_others_as_they_are() -> None:
    async def main() -> None:
        async with open_door() as door:
            bad = msgpack.packb(["a", 1, [5], {"chunk": "bad"}])
            got = await door.replay(single(1, chunk="one") + bad + single(2, chunk="two"))
            assert _objects(got) == [{"ack": name} for name in ("one", "bad", "two")]
            assert door.store.lines == [b"1", b"2"]
            assert door.figures.bad_entries == {"entry": 1}
            got = await door.replay(single(2, chunk="two") + single(3, chunk="three"))
            assert door.store.lines == [b"1", b"2", b"3"]

    asyncio.run(main())


def test_events_of_several_tenants_go_to_each() -> None:
    class ByTenant(PlainMapper):
        def __call__(self, tag: bytes, _: Any, entries: bytes, *, now: int, tenant: str) -> PlainMapped:
            assert (tag, tenant) == (b"a", "fake")
            builders: dict[str, BatchBuilder] = {}
            unpacker = msgpack.Unpacker(raw=False)
            unpacker.feed(entries)
            for _, record in unpacker:
                owner = "t" + record["log"][-1]
                if owner not in builders:
                    builders[owner] = BatchBuilder()
                    builders[owner].add_stream((("tag", "a"),))
                builders[owner].add(0, now, record["log"].encode())
            return PlainMapped({owner: builder.build() for owner, builder in builders.items()}, {})

    async def main() -> None:
        async with open_door(mapper=ByTenant()) as door:
            got = await door.replay(b"".join(single(n, chunk=f"c{n}") for n in range(10, 14)))
            assert len(_objects(got)) == 4
            assert [(tenant, batch.lines.tolist()) for tenant, batch in door.store.batches] == [
                (f"t{n % 10}", [b"%d" % n]) for n in range(10, 14)
            ]

    asyncio.run(main())


@pytest.mark.parametrize("room", ["300B", "1KB"])
def test_a_run_larger_than_the_budget_goes_in_as_room_is_made(room: str) -> None:
    async def main() -> None:
        async with open_door(server={"ingest_in_flight": room}) as door:
            got = await door.replay(b"".join(single(n, chunk=f"c{n}") for n in range(100)))
            assert _objects(got) == [{"ack": f"c{n}"} for n in range(100)]
            assert door.store.lines == [b"%d" % n for n in range(100)]

    asyncio.run(main())


def test_a_sender_that_breaks_off_takes_nobody_along() -> None:
    async def main() -> None:
        store = HeldStore(hold=True)
        async with open_door(store) as door:
            leaver, stayer = await door.connect(), await door.connect()
            for name, sender in (("l", leaver), ("s", stayer)):
                sender.write(b"".join(single(f"{name}{n}", chunk=f"{name}{n}") for n in range(3)))
            await until(lambda: len(store.waiting) == 6)
            raw = leaver.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            leaver.writer.transport.abort()
            await until(lambda: door.figures.connections == 1)
            store.release()
            assert [await stayer.receive() for _ in range(3)] == [{"ack": f"s{n}"} for n in range(3)]
            stayer.writer.close()

    asyncio.run(main())
