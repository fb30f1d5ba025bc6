"""The sockets of the door: addresses, TLS, heartbeats, and how many connections it takes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgpack
import pytest
import trustme

from config import Settings
from gateway.forward.listener import open_sockets
from gateway.listener import CannotListen
from tests.gateway.forward.door import HeldStore, open_door, until
from tests.gateway.forward.hostile import attack_with_all
from tests.server import running_server

ROOT = Path(__file__).parents[3]
ENTRY = [1700000000, {"log": "a line"}]


def settings(**forward: object) -> Settings:
    return Settings.model_validate({"forward": forward})


# -- addresses


@contextlib.contextmanager
def taken(kind: int) -> Iterator[int]:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        yield other.getsockname()[1]


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_an_address_that_was_asked_for_and_is_taken_is_an_error(kind: int) -> None:
    with taken(kind) as port, pytest.raises(CannotListen) as cannot:
        open_sockets(settings(listen=f"127.0.0.1:{port}"))
    assert str(cannot.value) == (
        f"cannot listen on 127.0.0.1:{port} for Fluent Forward: the port is in use by another program"
    )


def test_the_usual_port_taken_is_one_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with taken(socket.SOCK_STREAM) as port:
        monkeypatch.setattr("gateway.forward.listener.PORT", port)
        assert open_sockets(settings()) is None
    assert len(caplog.records) == 1
    assert f"127.0.0.1:{port}" in caplog.text


def test_the_usual_port_is_that_of_the_http_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with taken(socket.SOCK_STREAM) as port:
        pass
    monkeypatch.setattr("gateway.forward.listener.PORT", port)
    sockets = open_sockets(settings())
    assert sockets is not None
    with sockets:
        assert sockets.address == f"127.0.0.1:{port}"
        assert sockets.udp.getsockname() == sockets.tcp.getsockname()


def test_off_is_off() -> None:
    assert open_sockets(settings(listen="off")) is None
    assert open_sockets(settings(listen=False)) is None


def test_tls_files_that_cannot_be_used_end_the_start(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    for files in (
        {"tls_cert": str(tmp_path / "missing.pem")},
        {"tls_cert": str(tmp_path / "no.pem")},
        {"tls_key": "x"},
    ):
        with pytest.raises(CannotListen):
            open_sockets(settings(listen="127.0.0.1:0", **files))


# -- heartbeats


def test_a_udp_heartbeat_is_answered_from_the_port_it_came_to() -> None:
    async def main() -> None:
        async with open_door() as door:
            loop = asyncio.get_running_loop()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heart:
                heart.setblocking(False)
                heart.bind(("127.0.0.1", 0))
                server = ("127.0.0.1", door.port)
                async with asyncio.timeout(20):
                    await loop.sock_sendto(heart, bytes(129), server)  # no heartbeat: not answered
                    for _ in range(3):
                        await loop.sock_sendto(heart, b"\0", server)
                        assert await loop.sock_recvfrom(heart, 100) == (b"\0", server)
            assert door.figures.heartbeats == 3

    asyncio.run(main())


# -- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return {"tls_cert": str(folder / "server.pem"), "tls_client_ca": str(folder / "ca.pem")}


def client_context(authority: trustme.CA, name: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if name is not None:
        authority.issue_cert(name).configure_cert(context)
    return context


def test_tls(authority: trustme.CA, files: dict[str, str]) -> None:
    async def main() -> None:
        async with open_door(tls_cert=files["tls_cert"], shared_key="k") as door:
            sender = await door.connect(client_context(authority))
            assert (await sender.receive())[0] == "HELO"
            sender.writer.close()
        async with open_door(tls_cert=files["tls_cert"]) as door:
            sender = await door.connect(client_context(authority))
            sender.send("app", [[1, {"log": "x" * 100_000}]], {"chunk": "c"})
            assert await sender.receive() == {"ack": "c"}
            sender.writer.close()

    asyncio.run(main())


def test_mutual_tls_wants_a_certificate_of_its_authority(authority: trustme.CA, files: dict[str, str]) -> None:
    async def main() -> None:
        async with open_door(**files) as door:
            sender = await door.connect(client_context(authority, "edge"))
            sender.send("app", [ENTRY], {"chunk": "c"})
            assert await sender.receive() == {"ack": "c"}
            sender.writer.close()

            async def speak(context: ssl.SSLContext) -> None:
                other = await door.connect(context)
                with contextlib.closing(other.writer):
                    other.send("app", [ENTRY], {"chunk": "d"})
                    await other.receive()

            stranger = client_context(authority)
            trustme.CA().issue_cert("edge").configure_cert(stranger)
            for context in (client_context(authority), stranger):
                with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
                    await speak(context)
            assert door.figures.closed == {"tls": 2}
            assert door.store.lines == [b"a line"]

    asyncio.run(main())


def test_plain_bytes_and_silence_on_a_tls_port(files: dict[str, str]) -> None:
    async def main() -> None:
        async with open_door(tls_cert=files["tls_cert"], handshake_timeout="2s") as door:
            plain, silent, probe = [await door.connect() for _ in range(3)]
            probe.writer.close()
            plain.send("app", [ENTRY])
            assert await silent.gone()
            with contextlib.suppress(ConnectionError):
                await plain.rest()
            assert door.figures.closed == {"tls": 1, "handshake_timeout": 1}

    asyncio.run(main())


# -- how many


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_address"])
def test_connections_over_a_limit_are_closed_and_the_others_go_on(limit: str) -> None:
    async def main() -> None:
        async with open_door(**{limit: 2}) as door:
            first, second = await door.connect(), await door.connect()
            for sender in (first, second):
                sender.send("app", [ENTRY], {"chunk": "x"})
                await sender.receive()
            assert await (await door.connect()).gone()
            assert door.figures.closed == {limit: 1}
            first.writer.close()
            await until(lambda: door.figures.connections == 1)
            third = await door.connect()
            for sender in (second, third):
                sender.send("app", [ENTRY], {"chunk": "y"})
                assert await sender.receive() == {"ack": "y"}
                sender.writer.close()

    asyncio.run(main())


def test_hostile_connections_cost_the_good_ones_nothing() -> None:
    """50 connections that do everything wrong, over and over, beside 10 that wait for each of their acks."""

    async def main() -> None:
        store = HeldStore()
        async with open_door(store, message_timeout="300ms") as door:

            async def good(number: int) -> None:
                sender = await door.connect()
                for chunk in range(50):
                    sender.send(f"good{number}", [[1, {"log": f"{number}/{chunk}"}]], {"chunk": f"{number}/{chunk}"})
                    assert await sender.receive() == {"ack": f"{number}/{chunk}"}
                sender.writer.close()

            over: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            enemies = asyncio.create_task(attack_with_all(door.port, over))
            await until(lambda: {"not_a_message", "too_long", "too_deep", "slow"} <= door.figures.closed.keys())
            await asyncio.gather(*(good(number) for number in range(10)))
            over.set_result(None)
            await enemies
            sent = {f"{number}/{chunk}".encode() for number in range(10) for chunk in range(50)}
            assert sorted(line for line in store.lines if line in sent) == sorted(sent)

    asyncio.run(main())


PHASES, PHASE, CHANGE = 10, 2.0, 0.25
"""Quiet and hostile phases, of each so many; seconds of one; seconds at its beginning that do not count."""


@dataclass
class GoodSender:
    """Sends chunks of 20 events, each once the one before it is acknowledged.

    Attributes:
        acks: when each chunk was sent, and the seconds until its acknowledgement.
    """

    number: int
    acks: list[tuple[float, float]] = field(default_factory=list)

    async def run(self, port: int, stop: asyncio.Event) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not stop.is_set():
            name = f"{self.number}/{len(self.acks)}"
            entries = [[1700000000, {"log": f"{name}/{event}"}] for event in range(20)]
            began = time.perf_counter()
            writer.write(msgpack.packb([f"good{self.number}", entries, {"chunk": name}]))
            assert await reader.read(1000) == msgpack.packb({"ack": name})
            self.acks.append((began, time.perf_counter() - began))
            await asyncio.sleep(0.005)
        writer.close()


@pytest.mark.soak
def test_beside_hostile_connections_an_ack_takes_less_than_twice_as_long(tmp_path: Path) -> None:
    """The 99th percentile over ten connections, in ten phases beside 50 hostile ones.

    Each is compared with the quiet phases before and after it, so that whatever else the machine does meets both alike,
    and it is the median of the ten ratios that counts.
    """
    senders = [GoodSender(number) for number in range(10)]

    async def send_through_all_phases(port: int, enemy: subprocess.Popen[bytes]) -> list[tuple[float, float]]:
        stop = asyncio.Event()
        sending = [asyncio.create_task(sender.run(port, stop)) for sender in senders]
        await asyncio.sleep(PHASE)
        phases = []
        for _ in range(2 * PHASES + 1):
            began = time.perf_counter()
            await asyncio.sleep(PHASE)
            phases.append((began + CHANGE, time.perf_counter()))
            assert enemy.stdin is not None
            enemy.stdin.write(b"\n")
            enemy.stdin.flush()
        stop.set()
        await asyncio.gather(*sending)
        return phases

    def p99(phase: tuple[float, float]) -> float:
        # Whatever was waited for in the phase, so that one in which everything stood still has its figure, too.
        acks = (ack for sender in senders for ack in sender.acks)
        took = sorted(took for sent, took in acks if sent < phase[1] and sent + took >= phase[0])
        return took[int(len(took) * 0.99)]

    with running_server(tmp_path / "data", "--forward", "127.0.0.1:0") as server:
        port = int(re.findall(r"forward=127\.0\.0\.1:(\d+)", server.log_text)[0])
        command = [sys.executable, "-m", "tests.gateway.forward.hostile", str(port)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as enemy:
            phases = asyncio.run(send_through_all_phases(port, enemy))
            assert enemy.stdin is not None
            enemy.stdin.close()
        closed = re.findall(r'weir_forward_connections_closed_total{reason="(\w+)"} (\d+)', metrics_of(server.url))
        query = {"query": 'sum(count_over_time({job="fluent"} | fluent_tag=~"good.*" [1h]))', "time": "1700000001"}
        answer = httpx.get(f"{server.url}/loki/api/v1/query", params=query).json()["data"]["result"]
        assert server.stop() == 0
    assert int(answer[0]["value"][1]) == 20 * sum(len(sender.acks) for sender in senders)
    quiet, hostile = ([p99(phase) * 1000 for phase in phases[kind::2]] for kind in (0, 1))
    for name, each in (("quiet", quiet), ("hostile", hostile)):
        print(f"p99 of an ack, ms, {name}: {statistics.median(each):.2f} of {[round(one, 2) for one in each]}")
    attacks = sum(float(count) for _, count in closed)
    print(f"{attacks:.0f} connections closed for {sorted(reason for reason, _ in closed)}")
    assert attacks > 100 * PHASES
    ratios = [each / ((before + after) / 2) for each, before, after in zip(hostile, quiet, quiet[1:], strict=False)]
    print(f"ratios: {[round(one, 2) for one in ratios]}")
    assert len(ratios) == PHASES
    assert statistics.median(ratios) < 2


def metrics_of(url: str) -> str:
    return httpx.get(f"{url}/metrics").text


# -- in a server


def test_a_server_says_where_it_listens_and_stores_what_it_acknowledges(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", "--forward", "127.0.0.1:0") as server:
        port = int(re.findall(r"forward=127\.0\.0\.1:(\d+)", server.log_text)[0])
        assert "\nweir_forward_listening 1.0\n" in httpx.get(f"{server.url}/metrics").text
        with socket.create_connection(("127.0.0.1", port), timeout=20) as sender:
            sender.sendall(msgpack.packb(["app", [[1700000000, {"log": "a line"}]], {"chunk": "c"}]))
            assert sender.recv(100) == b"\x81\xa3ack\xa1c"
        assert server.stop() == 0
        assert "level=error" not in server.log_text


def test_a_server_whose_asked_for_port_is_taken_does_not_start(tmp_path: Path) -> None:
    with taken(socket.SOCK_STREAM) as port, pytest.raises(AssertionError, match="ended with 1"):
        running_server(tmp_path / "data", "--forward", f"127.0.0.1:{port}").__enter__()
