"""The way to a server over HTTP: what is shown to it, and what its answers mean."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
import snappy
import trustme

from gateway.client.access import Access
from gateway.client.errors import BadArgument
from gateway.collect.delivery import Again, Conflict, Outcome, Taken, TooLarge
from gateway.collect.push import HttpDelivery, Target, outcome_of, target_of
from tests.gateway.tls.authority import write_ca, write_client, write_server

BODY = snappy.compress(b"body")


class Recorder(ThreadingHTTPServer):
    """Answers 204, and remembers paths and headers; closes each connection after `most` requests."""

    def __init__(self, tls: ssl.SSLContext | None = None, most: int = 1000) -> None:
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            count = 0

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                recorder.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()
                self.count += 1
                self.close_connection = self.count >= most

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust us is no error of ours."""


@contextmanager
def recording(recorder: Recorder) -> Iterator[str]:
    thread = threading.Thread(target=recorder.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{recorder.server_address[1]}"
    finally:
        recorder.shutdown()
        thread.join()
        recorder.server_close()


def target(url: str, access: Access | None = None, tenant: str = "") -> Target:
    return target_of(url, access or Access(), tenant=tenant, timeout=10.0, agent="test")


def test_a_push_has_key_tenant_id_and_path() -> None:
    recorder = Recorder()
    with recording(recorder) as address:
        delivery = HttpDelivery(target(f"http://{address}/prefix/", Access(key="secret"), "team"))
        batch = uuid4()
        assert delivery.send(BODY, batch) == Taken()
        delivery.close()
        named = HttpDelivery(target(f"http://me:pass%20word@{address}", Access(key="secret")))
        named.send(BODY, batch)
        named.close()
    (path, headers, body), (other, shown, _) = recorder.seen
    assert (path, body, other) == ("/prefix/loki/api/v1/push", BODY, "/loki/api/v1/push")
    assert headers["authorization"] == "Bearer secret"
    assert headers["x-scope-orgid"] == "team"
    assert headers["x-weir-batch-id"] == str(batch)
    assert (shown["authorization"], shown["x-api-key"]) == ("Basic bWU6cGFzcyB3b3Jk", "secret")


def test_a_connection_that_the_server_closed_is_no_failure() -> None:
    recorder = Recorder(most=1)
    with recording(recorder) as address:
        delivery = HttpDelivery(target(f"http://{address}"))
        assert [delivery.send(BODY, uuid4()) for _ in range(3)] == [Taken()] * 3
        delivery.close()
    assert isinstance(HttpDelivery(target(f"http://{address}")).send(BODY, uuid4()), Again)


def test_tls_checks_the_server_and_shows_a_certificate(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_server(authority, tmp_path / "server.pem"))
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    ca, cert = write_ca(authority, tmp_path / "ca.pem"), write_client(authority, tmp_path / "client.pem")
    wrong = write_ca(other, tmp_path / "other.pem")
    with recording(Recorder(context)) as address:
        url = f"https://{address}"

        def outcome(access: Access) -> Outcome:
            delivery = HttpDelivery(target(url, access))
            try:
                return delivery.send(BODY, uuid4())
            finally:
                delivery.close()

        assert outcome(Access(ca=ca, cert=cert)) == Taken()
        assert outcome(Access(insecure=True, cert=cert)) == Taken()
        assert isinstance(outcome(Access(ca=wrong, cert=cert)), Again)
        assert isinstance(outcome(Access(ca=ca)), Again)


@pytest.mark.parametrize("url", ["logs:3100", "ftp://logs", "http://", "http://logs:port"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadArgument):
        target(url)


def test_what_answers_mean() -> None:
    assert outcome_of(204, "", {}) == Taken()
    assert outcome_of(200, '{"deduplicated":true}', {}) == Taken(deduplicated=True)
    assert outcome_of(409, "x", {}) == Conflict("x")
    assert outcome_of(413, "x", {}) == TooLarge("x")
    assert outcome_of(429, "slow", {"Retry-After": "7"}) == Again("busy", "status 429: slow", 7.0)
    assert outcome_of(503, "", {}) == Again("busy", "status 503", None)
    assert outcome_of(401, "who", {}) == Again("refused", "status 401: who", None)
    moved = outcome_of(308, "", {"location": "https://there"})
    assert moved == Again("refused", "the server says its address is https://there", None)


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ("Max entry size '10' bytes exceeded for stream '{}' while adding an entry with length '20' bytes", 1),
        ("3 errors like: too old; 2 errors like: too long", 5),
        ("entry with timestamp ... ignored, reason: 'too far behind', total ignored: 4 out of 9 for stream: {}", 4),
    ],
)
def test_refused_lines_are_counted_as_the_server_says(said: str, lines: int) -> None:
    assert outcome_of(400, said, {}) == Taken(lines, said)


def test_the_collector_needs_no_compiler_and_no_arrow() -> None:
    code = (
        "import sys, gateway.collect.making, gateway.collect.push, gateway.cli.collect; "
        "sys.exit(' '.join({'numba', 'pyarrow', 'httpx', 'storage'} & set(sys.modules)) or None)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
