"""HTTPS: pushes, queries, tails and commands over it, mutual TLS, and certificates that change while it serves."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import trustme

from tests.gateway.tls.authority import client_context, write_ca, write_client, write_server
from tests.gateway.weir_command import weir
from tests.server import ServerProcess, running_server, wait_until
from tests.websocket import Socket


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def server(authority: trustme.CA, folder: Path) -> Iterator[ServerProcess]:
    sets = [
        f"tls.cert={write_server(authority, folder / 'server.pem')}",
        f"tls.client_ca={write_ca(authority, folder / 'ca.pem')}",
        "tls.reload_period=50ms",
        "server.max_connections=20",
    ]
    write_client(authority, folder / "client.pem")
    with running_server(folder / "data", *(part for each in sets for part in ("--set", each))) as running:
        assert running.url.startswith("https://127.0.0.1:")
        yield running


@pytest.fixture
def client(server: ServerProcess, authority: trustme.CA, folder: Path) -> Iterator[httpx.Client]:
    context = client_context(authority, str(folder / "client.pem"))
    with httpx.Client(base_url=server.url, verify=context) as made:
        yield made


def entries(*lines: str) -> dict[str, Any]:
    now = time.time_ns()
    return {"streams": [{"stream": {"app": "tls"}, "values": [[str(now + n), text] for n, text in enumerate(lines)]}]}


def metric(client: httpx.Client, sample: str) -> float:
    page = client.get("/metrics").text
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(sample + " "))


def served(server: ServerProcess, context: ssl.SSLContext) -> bytes | None:
    """The certificate that a new connection is shown."""
    where = urlsplit(server.url)
    with (
        socket.create_connection((where.hostname or "", where.port or 0), timeout=30) as raw,
        context.wrap_socket(raw, server_hostname=where.hostname) as wrapped,
    ):
        assert wrapped.selected_alpn_protocol() in (None, "http/1.1")
        return wrapped.getpeercert(binary_form=True)


def test_pushes_queries_and_a_kept_connection(client: httpx.Client) -> None:
    assert client.post("/loki/api/v1/push", json=entries("one", "two")).status_code == 204
    found = client.get("/loki/api/v1/query_range", params={"query": '{app="tls"} |= "one"'})
    assert [value[1] for stream in found.json()["data"]["result"] for value in stream["values"]] == ["one"]
    assert client.get("/nope").status_code == 404
    # Not ordinary, and so hypercorn's: a body in pieces, and a connection that is to be closed.
    assert client.post("/loki/api/v1/push", content=iter([b"{}"])).status_code in (400, 422)
    assert client.get("/ready", headers={"Connection": "close"}).status_code == 200


def test_long_bodies_and_long_answers_come_whole(client: httpx.Client) -> None:
    lines = [f"{number:06} " + "x" * 1000 for number in range(4000)]
    assert client.post("/loki/api/v1/push", json=entries(*lines), timeout=60).status_code == 204
    asked: Any = {"params": {"query": '{app="tls"} |= "xxx"'}, "headers": {"Accept-Encoding": "identity"}}
    with client.stream("GET", "/weir/v1/export", timeout=60, **asked) as answer:
        pieces: list[bytes] = []
        for piece in answer.iter_raw(1 << 16):
            if len(pieces) < 3:
                time.sleep(0.05)  # a reader that is slower than the server
            pieces.append(piece)
    body = b"".join(pieces)
    assert all(line.encode() in body for line in lines[::97])
    assert body.count(b'"line"') == len(lines)


def test_a_tail_over_tls(server: ServerProcess, client: httpx.Client, authority: trustme.CA, folder: Path) -> None:
    context = client_context(authority, str(folder / "client.pem"))
    with Socket(server.url, "/loki/api/v1/tail", {"query": '{app="tls"} |= "tailed"'}, context=context) as tail:
        assert tail.status == 101
        client.post("/loki/api/v1/push", json=entries("tailed over TLS"))
        assert tail.wait_for_lines(1) == ["tailed over TLS"]
        tail.close()


def test_commands_bring_certificates(server: ServerProcess, folder: Path) -> None:
    asked = ["labels", "--addr", server.url, "--since", "1h"]
    good = weir(*asked, "--ca", str(folder / "ca.pem"), "--cert", str(folder / "client.pem"))
    assert good.stdout.split() == ["app", "service_name"], good.stderr
    unknown = weir(*asked, env={"WEIR_CERT": str(folder / "client.pem")})
    assert unknown.returncode == 3
    assert "certificate" in unknown.stderr.lower()
    insecure = weir(*asked, "--insecure", env={"LOKI_CLIENT_CERT_PATH": str(folder / "client.pem")})
    assert insecure.returncode == 0, insecure.stderr
    bare = weir(*asked, "--ca", str(folder / "ca.pem"))
    assert bare.returncode == 3
    missing = weir(*asked, "--ca", str(folder / "nothing.pem"))
    assert missing.returncode == 2
    assert "nothing.pem" in missing.stderr


def test_mutual_tls_wants_a_certificate_of_its_authority(
    server: ServerProcess, client: httpx.Client, authority: trustme.CA, folder: Path
) -> None:
    sample = 'weir_auth_failures_total{door="http",reason="tls"}'
    before = metric(client, sample)
    strange = write_client(trustme.CA(), folder / "stranger.pem")
    for context in (client_context(authority), client_context(authority, strange)):
        with pytest.raises(httpx.TransportError), httpx.Client(verify=context) as other:
            other.get(f"{server.url}/ready")
    with pytest.raises(httpx.TransportError):
        httpx.get(server.url.replace("https", "http") + "/ready")
    assert wait_until(lambda: metric(client, sample) == before + 3)
    assert wait_until(lambda: "no TLS" in server.log_text)


def test_connections_that_never_shake_hands_leave_room_for_others(server: ServerProcess, client: httpx.Client) -> None:
    where = urlsplit(server.url)
    idle = [socket.create_connection((where.hostname or "", where.port or 0)) for _ in range(100)]
    try:
        assert client.get("/ready").status_code == 200
    finally:
        for each in idle:
            each.close()


def test_more_than_max_connections_get_503(server: ServerProcess, authority: trustme.CA, folder: Path) -> None:
    context = client_context(authority, str(folder / "client.pem"))
    where = urlsplit(server.url)
    held = []
    try:
        answer = b""
        for _ in range(25):
            raw = socket.create_connection((where.hostname or "", where.port or 0), timeout=30)
            wrapped = context.wrap_socket(raw, server_hostname=where.hostname)
            held.append(wrapped)
        held[-1].settimeout(30)
        answer = held[-1].recv(4096)
        assert answer.startswith(b"HTTP/1.1 503")
    finally:
        for each in held:
            each.close()

    def ready() -> bool:
        try:
            return httpx.get(f"{server.url}/ready", verify=context).status_code == 200
        except httpx.TransportError:
            return False

    assert wait_until(ready)


def test_a_new_certificate_is_shown_once_its_file_changes_and_a_wrong_one_never(
    server: ServerProcess, client: httpx.Client, authority: trustme.CA, folder: Path
) -> None:
    context = client_context(authority, str(folder / "client.pem"))
    first = served(server, context)
    assert client.get("/ready").status_code == 200
    write_server(authority, folder / "server.pem")
    assert wait_until(lambda: served(server, context) != first)
    second = served(server, context)
    assert client.get("/ready").status_code == 200  # on the connection of before
    good = (folder / "server.pem").read_bytes()
    (folder / "server.pem").write_text("no certificate")
    assert wait_until(lambda: metric(client, "weir_tls_last_reload_successful") == 0)
    assert served(server, context) == second
    assert "TLS stays as it was: cannot use tls.cert" in server.log_text
    (folder / "server.pem").write_bytes(good)
    assert wait_until(lambda: metric(client, "weir_tls_last_reload_successful") == 1)
    count = server.log_text.count("the TLS files were read again")
    os.kill(server.pid, signal.SIGHUP)
    assert wait_until(lambda: server.log_text.count("the TLS files were read again") > count)


def test_another_authority_takes_the_place_of_the_first(
    server: ServerProcess, authority: trustme.CA, folder: Path
) -> None:
    other = trustme.CA()
    theirs = client_context(authority, write_client(other, folder / "other.pem"))
    ours = client_context(authority, str(folder / "client.pem"))

    def may(context: ssl.SSLContext) -> bool:
        try:
            return httpx.get(f"{server.url}/ready", verify=context).status_code == 200
        except httpx.TransportError:
            return False

    assert (may(ours), may(theirs)) == (True, False)
    write_ca(other, folder / "ca.pem")
    assert wait_until(lambda: may(theirs))
    assert not may(ours)
    write_ca(authority, folder / "ca.pem")
    assert wait_until(lambda: may(ours))


def test_a_stop_is_not_held_up_by_idle_connections(server: ServerProcess, client: httpx.Client) -> None:
    assert client.get("/ready").status_code == 200
    assert server.stop() == 0
