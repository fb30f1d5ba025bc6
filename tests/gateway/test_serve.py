"""A real server process: start, stop, what it does to connections."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest


class Server:
    """`weir serve` on a port of the kernel's choice."""

    def __init__(self, data_dir: Path, *settings: str, http: str = "127.0.0.1:0") -> None:
        command = [sys.executable, "-m", "gateway.cli", "serve", "--data-dir", str(data_dir), "--http", http]
        for setting in settings:
            command += ["--set", setting]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.log: list[str] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.log.append(line)
                if "listening on" in line:
                    self._listening.set()
        self._listening.set()

    def wait_until_ready(self) -> Server:
        assert self._listening.wait(60), "".join(self.log)
        assert self.process.poll() is None, "".join(self.log)
        return self

    @property
    def url(self) -> str:
        found = re.search(r"listening on (http://127\.0\.0\.1:\d+)", "".join(self.log))
        assert found is not None, "".join(self.log)
        return found[1]

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.url.rpartition(":")[2])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(60)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.ended()


Start = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Start]:
    made: list[Server] = []

    def start(*settings: str, data_dir: Path = tmp_path / "data", http: str = "127.0.0.1:0") -> Server:
        made.append(Server(data_dir, *settings, http=http))
        return made[-1]

    yield start
    for server in made:
        server.kill()


def push_body(text: str) -> bytes:
    values = [[str(time.time_ns()), text]]
    return json.dumps({"streams": [{"stream": {"app": "serve-test"}, "values": values}]}).encode()


def begin_push(address: tuple[str, int], body: bytes, sent: int) -> socket.socket:
    """A push of which only the first `sent` bytes of the body are on their way."""
    connection = socket.create_connection(address, timeout=30)
    head = b"POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:sent])
    return connection


def in_flight(url: str) -> int:
    page = httpx.get(f"{url}/metrics").text
    return sum(
        int(float(line.rpartition(" ")[2]))
        for line in page.splitlines()
        if line.startswith("loki_inflight_requests{") and 'route="metrics"' not in line
    )


def wait_until_in_flight(url: str, count: int) -> None:
    deadline = time.monotonic() + 30
    while in_flight(url) != count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_line_survives_a_restart(serve: Start) -> None:
    server = serve().wait_until_ready()
    headers = {"Content-Type": "application/json"}
    assert httpx.post(f"{server.url}/loki/api/v1/push", content=push_body("kept"), headers=headers).status_code == 204
    assert server.stop() == 0
    assert "stopped" in server.log[-1]
    again = serve().wait_until_ready()
    assert "replayed_entries=1" in "".join(again.log)
    answer = httpx.get(f"{again.url}/loki/api/v1/query_range", params={"query": '{app="serve-test"}'}).json()
    assert [value[1] for stream in answer["data"]["result"] for value in stream["values"]] == ["kept"]


def test_sigterm_lets_a_request_in_flight_end(serve: Start) -> None:
    server = serve().wait_until_ready()
    address, body = server.address, push_body("slow")
    with begin_push(address, body, 10) as connection, socket.create_connection(address, timeout=30) as idle:
        wait_until_in_flight(server.url, 1)
        server.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""  # the server is stopping: idle connections are closed
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=5).close()
        connection.sendall(body[10:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 204")
    assert server.ended() == 0


def test_what_outlasts_the_shutdown_timeout_is_cut_and_named(serve: Start) -> None:
    server = serve("server.shutdown_timeout=200ms").wait_until_ready()
    with begin_push(server.address, push_body("never whole"), 10) as connection:
        wait_until_in_flight(server.url, 1)
        port = connection.getsockname()[1]
        assert server.stop() == 1
    log = "".join(server.log)
    assert re.search(rf"cut at shutdown: POST /loki/api/v1/push from 127\.0\.0\.1:{port}, \d+\.\d s old", log), log


def test_a_second_signal_does_not_wait(serve: Start) -> None:
    server = serve("server.shutdown_timeout=10m").wait_until_ready()
    with (
        begin_push(server.address, push_body("x"), 10),
        socket.create_connection(server.address, timeout=30) as idle,
    ):
        wait_until_in_flight(server.url, 1)
        server.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        assert server.stop() == 1


def test_a_second_server_on_the_same_directory_names_the_first(serve: Start) -> None:
    first = serve().wait_until_ready()
    second = serve()
    assert second.ended() == 1
    assert str(first.process.pid) in second.log[-1]


def test_a_port_in_use_is_said_plainly(serve: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = serve(data_dir=tmp_path / "other", http=address)
        assert server.ended() == 1
    assert f"cannot listen on {address}: the port is in use by another program" in server.log[-1]
    assert "Traceback" not in "".join(server.log)


def test_connections_over_the_limit_get_a_503_and_the_others_work_on(serve: Start) -> None:
    server = serve("server.max_connections=2").wait_until_ready()
    url = server.url
    with httpx.Client() as client, socket.create_connection(server.address, timeout=30) as second:
        assert client.get(f"{url}/ready").status_code == 200
        second.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        assert second.recv(65536).startswith(b"HTTP/1.1 200")
        refused = httpx.get(f"{url}/ready")
        assert (refused.status_code, refused.text) == (503, "too many connections\n")
        assert client.get(f"{url}/ready").status_code == 200
        assert "weir_http_connections_refused_total 1.0" in client.get(f"{url}/metrics").text


def test_a_body_announced_too_big_is_refused_unread_and_leaves_nothing_behind(serve: Start) -> None:
    server = serve("limits.max_recv_msg_size=1MB").wait_until_ready()
    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(
            b"POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1073741824\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")
        # A client that sends on regardless is cut off, however much it has.
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.sendall(bytes(256 << 20))
    wait_until_in_flight(server.url, 0)
    assert server.stop() == 0


def test_pushes_that_never_become_whole_are_forgotten_when_the_client_leaves(serve: Start) -> None:
    server = serve().wait_until_ready()
    body = push_body("x")
    connections = [begin_push(server.address, body, 10) for _ in range(20)]
    wait_until_in_flight(server.url, 20)
    for connection in connections:
        connection.close()
    wait_until_in_flight(server.url, 0)
    page = httpx.get(f"{server.url}/metrics").text
    assert "weir_ingest_bytes_in_flight 0.0" in page
    assert 'status_code="499"' in page
    assert server.stop() == 0


def test_broken_http_gets_a_400_and_no_traceback(serve: Start) -> None:
    server = serve().wait_until_ready()
    for sent in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection(server.address, timeout=30) as connection:
            connection.sendall(sent + b"\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 400")
    assert httpx.get(f"{server.url}/ready").text == "ready\n"
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.log)
