"""An upstream over mutual TLS that wants a key: processes over sockets."""

from __future__ import annotations

from pathlib import Path

import httpx
import trustme

from tests.gateway.auth.some_keys import add_key
from tests.gateway.relay.servers import FAST, push, running, server
from tests.gateway.tls.authority import client_context, write_ca, write_client, write_server
from tests.server import wait_until


def test_a_key_and_a_client_certificate_lead_to_the_top(tmp_path: Path) -> None:
    authority = trustme.CA()
    ca, client = write_ca(authority, tmp_path / "ca.pem"), write_client(authority, tmp_path / "client.pem")
    central = server(
        tmp_path / "central",
        {
            "tls.cert": write_server(authority, tmp_path / "server.pem"),
            "tls.client_ca": ca,
            "auth.enabled": "true",
        },
    )
    pushes, queries = (add_key(tmp_path / "central", (scope,)) for scope in ("push", "query"))
    context = client_context(authority, client)
    with running(central):
        upstream = {"upstream.url": central.url, "upstream.tls.ca": ca, "upstream.tls.client_cert": client}
        edge = server(tmp_path / "edge", FAST | upstream | {"upstream.api_key": pushes})
        with running(edge), httpx.Client(base_url=central.url, verify=context) as top:
            push(edge.url, ["over TLS"])
            headers = {"Authorization": f"Bearer {queries}"}

            def arrived() -> bool:
                answer = top.get("/loki/api/v1/query_range", params={"query": '{app="api"}'}, headers=headers)
                assert answer.status_code == 200
                return "over TLS" in answer.text

            assert wait_until(arrived)
            assert pushes not in edge.log_text
            assert "http:// and gets a key" not in edge.log_text


def test_an_unknown_authority_is_told_and_nothing_is_sent(tmp_path: Path) -> None:
    authority = trustme.CA()
    central = server(tmp_path / "central", {"tls.cert": write_server(authority, tmp_path / "server.pem")})
    with running(central):
        edge = server(tmp_path / "edge", FAST | {"upstream.url": central.url})
        with running(edge):
            push(edge.url, ["kept"])
            assert wait_until(lambda: "CERTIFICATE_VERIFY_FAILED" in edge.log_text)
            edge.stop()
        blind = server(
            tmp_path / "edge", FAST | {"upstream.url": central.url, "upstream.tls.insecure_skip_verify": "true"}
        )
        with running(blind), httpx.Client(base_url=central.url, verify=client_context(authority)) as top:

            def arrived() -> bool:
                return "kept" in top.get("/loki/api/v1/query_range", params={"query": '{app="api"}'}).text

            assert wait_until(arrived)
