from __future__ import annotations

import asyncio
import ssl
import time
from email.utils import formatdate
from pathlib import Path
from typing import Literal
from uuid import UUID

import pytest
import trustme

from gateway.relay.loki import LokiOptions, LokiSink, outcome_of
from gateway.relay.sink import Archived, Conflict, Failed, Outcome, Outgoing, Refused
from gateway.relay.tls import client_context
from storage.build import BatchBuilder
from tests.gateway.relay.recorder import Answer, Recorder

ID = UUID("0b0b4d2a-6d1f-4d5e-9a0e-1f6f3a0d9c11")


def outgoing(tenant: str = "fake") -> Outgoing:
    builder = BatchBuilder()
    stream = builder.add_stream((("app", "api"),))
    builder.add(stream, 5, b"one", [("level", b"info")])
    builder.add(stream, 6, b"two")
    return Outgoing("central", ID, tenant, builder.build(), 2)


def sent(options: LokiOptions, tenant: str = "fake") -> Outcome:
    async def send() -> Outcome:
        sink = LokiSink(options, lambda: "aa;edge")
        try:
            return await sink.send(outgoing(tenant))
        finally:
            await sink.close()

    return asyncio.run(send())


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_batch_that_was_taken_is_archived(status: int) -> None:
    assert outcome_of(status, "", None) == Archived()


def test_a_weir_says_that_it_had_the_batch() -> None:
    assert outcome_of(200, '{"deduplicated": true}', None) == Archived(deduplicated=True)
    assert outcome_of(200, '{"deduplicated": fa', None) == Archived()


@pytest.mark.parametrize("status", [400, 410, 415, 422])
def test_what_was_sent_is_at_fault(status: int) -> None:
    assert outcome_of(status, "entry too\nfar behind", None) == Refused(f"HTTP {status}: entry too far behind")


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 408, 429, 500, 502, 503, 508])
def test_somebody_else_is_at_fault_and_it_is_sent_again(status: int) -> None:
    assert outcome_of(status, "no", None) == Failed(f"HTTP {status}: no")


def test_too_much_at_once_and_another_batch_under_the_id() -> None:
    assert outcome_of(413, "", None) == Refused("HTTP 413", too_large=True)
    assert outcome_of(409, "taken", None) == Conflict("HTTP 409: taken")


def test_retry_after_is_seconds_or_a_date() -> None:
    assert outcome_of(429, "", "30") == Failed("HTTP 429", 30.0)
    later = outcome_of(503, "", formatdate(time.time() + 100, usegmt=True))
    assert isinstance(later, Failed)
    assert later.retry_after == pytest.approx(100, abs=5)
    assert outcome_of(503, "", "soon") == Failed("HTTP 503")


@pytest.mark.parametrize("compression", ["gzip", "snappy", "none"])
def test_a_push_as_it_goes_over_the_wire(compression: Literal["gzip", "snappy", "none"]) -> None:
    with Recorder() as loki:
        options = LokiOptions(loki.url, "s3cret", compression, instance="édge 1", says_tenant=True)
        assert sent(options, "acme") == Archived()
        (push,) = loki.pushes
    assert push.path == "/loki/api/v1/push"
    assert push.entries == (
        ((("app", "api"),), 5, b"one", (("level", b"info"),)),
        ((("app", "api"),), 6, b"two", ()),
    )
    wanted = {
        "authorization": "Bearer s3cret",
        "x-scope-orgid": "acme",
        "x-weir-batch-id": str(ID),
        "x-weir-instance": "%C3%A9dge 1",
        "x-weir-path": "aa;edge",
    }
    assert {name: push.headers.get(name) for name in wanted} == wanted


def test_a_path_is_kept_and_a_password_is_sent_and_never_shown() -> None:
    with Recorder() as loki:
        options = LokiOptions(loki.url.replace("//", "//user:pa%20ss@") + "/other/push")
        assert LokiSink(options, str).destination == loki.url + "/other/push"
        assert sent(options) == Archived()
        (push,) = loki.pushes
    assert push.path == "/other/push"
    assert push.headers["authorization"] == "Basic dXNlcjpwYSBzcw=="
    assert "x-scope-orgid" not in push.headers


def test_a_connection_that_breaks_a_server_that_is_gone_and_one_that_is_slow() -> None:
    with Recorder(Answer(0), Answer(seconds=30)) as loki:
        broken = sent(LokiOptions(loki.url))
        assert isinstance(broken, Failed)
        assert not broken.too_slow
        slow = sent(LokiOptions(loki.url, timeout=100_000_000))
        assert slow == Failed(f"no answer from {loki.url}/loki/api/v1/push within 0.1 s", too_slow=True)
    gone = sent(LokiOptions(loki.url))
    assert isinstance(gone, Failed)
    assert loki.url in gone.reason


def test_a_certificate_of_an_authority_and_one_of_our_own(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    own = authority.issue_cert("edge.example.org")
    ca, chain = authority.cert_pem.bytes().decode(), own.private_key_and_cert_chain_pem.bytes().decode()
    file = tmp_path / "ca.pem"
    file.write_text(ca)
    for given in (ca, str(file)):
        context = client_context(given, chain, "")
        assert len(context.get_ca_certs()) == 1
        assert context.verify_mode is ssl.CERT_REQUIRED
    assert client_context("", "", "", insecure_skip_verify=True).verify_mode is ssl.CERT_NONE
    with pytest.raises(OSError):  # noqa: PT011 - ssl.SSLError or another: the text is OpenSSL's
        client_context(str(tmp_path / "none.pem"), "", "")
    with pytest.raises(OSError):  # noqa: PT011 - as above
        client_context(ca, own.cert_chain_pems[0].bytes().decode(), other.cert_pem.bytes().decode())
