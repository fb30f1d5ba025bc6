from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gateway.client import Api, BadAnswer, BadArgument, Connection, ServerRefused, Unreachable
from tests.gateway.client.canned import Asked, Told, canned_server


@contextmanager
def connected(answer: Callable[[Asked], Told], *, read_seconds: float = 10) -> Iterator[tuple[Connection, list[Asked]]]:
    with canned_server(answer) as server, Connection(server.url, None, read_seconds=read_seconds) as connection:
        yield connection, server.asked


def test_the_tenant_goes_into_its_header_and_only_if_there_is_one() -> None:
    with canned_server(lambda _: Told(body=b"{}")) as server:
        with Connection(server.url, "team-a") as connection:
            connection.get("loki/api/v1/labels", [])
        with Connection(server.url, None) as connection:
            connection.get("loki/api/v1/labels", [])
    assert server.asked[0].headers["X-Scope-OrgID"] == "team-a"
    assert "X-Scope-OrgID" not in server.asked[1].headers


def test_an_address_may_have_a_path_prefix() -> None:
    with canned_server(lambda _: Told(body=b"{}")) as server:
        for addr in (f"{server.url}/logs", f"{server.url}/logs/"):
            with Connection(addr, None) as connection:
                connection.get("loki/api/v1/labels", [])
    assert [request.path for request in server.asked] == ["/logs/loki/api/v1/labels"] * 2


def test_an_address_may_have_a_password_which_no_message_shows() -> None:
    def refuse(_: Asked) -> Told:
        return Told(promised=10)

    with canned_server(refuse) as server:
        addr = server.url.replace("http://", "http://user:secret@")
        with Connection(addr, None) as connection, pytest.raises(Unreachable) as caught:
            connection.get("x", [])
    assert server.asked[0].headers["Authorization"].startswith("Basic ")
    assert "secret" not in str(caught.value)


def test_compressed_answers_are_read() -> None:
    packed = Told(body=gzip.compress(b'{"data":["app"]}'), headers={"Content-Encoding": "gzip"})
    with connected(lambda _: packed) as (connection, _):
        assert Api(connection).label_names(0, 1) == ["app"]


def test_a_broken_compression_is_a_bad_answer() -> None:
    packed = Told(body=b"not gzip at all", headers={"Content-Encoding": "gzip"})
    with connected(lambda _: packed) as (connection, _), pytest.raises(BadAnswer):
        connection.get("x", [])


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_another_status_is_a_refusal_with_the_servers_text(status: int) -> None:
    refusal = pytest.raises(ServerRefused, match=r"^no org id$")
    with connected(lambda _: Told(status, b"no org id\n")) as (connection, _), refusal as caught:
        connection.get("x", [])
    assert caught.value.status == status


def test_a_redirect_is_named_and_not_followed() -> None:
    moved = Told(302, b"", {"Location": "https://logs.example/"})
    refusal = pytest.raises(ServerRefused, match=r"https://logs\.example/")
    with connected(lambda _: moved) as (connection, asked), refusal:
        connection.get("x", [])
    assert len(asked) == 1


def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        addr = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Connection(addr, None) as connection, pytest.raises(Unreachable, match="cannot reach"):
            connection.get("x", [])


def test_an_answer_that_breaks_off_is_unreachable() -> None:
    with connected(lambda _: Told(body=b'{"data"', promised=1000)) as (connection, _), pytest.raises(Unreachable):
        connection.get("x", [])


def test_a_server_that_says_nothing_is_unreachable() -> None:
    answered = threading.Event()

    def silent(_: Asked) -> Told:
        answered.wait(10)
        return Told()

    with connected(silent, read_seconds=0.05) as (connection, _):
        with pytest.raises(Unreachable, match="did not answer in time"):
            connection.get("x", [])
        answered.set()


@pytest.mark.parametrize("addr", ["", "localhost:3100", "127.0.0.1:3100", "ftp://host", "http://", "http://a:b:c"])
def test_what_is_no_address_is_refused_before_anything_is_sent(addr: str) -> None:
    with pytest.raises(BadArgument, match="is no server's address"):
        Connection(addr, None)


def test_a_label_name_is_escaped_in_the_path() -> None:
    with connected(lambda _: Told(body=b"{}")) as (connection, asked):
        assert Api(connection).label_values("a/b?c d", 1, 2) == []
    assert asked[0].path == "/loki/api/v1/label/a%2Fb%3Fc%20d/values"
    assert asked[0].params == {"start": ["1"], "end": ["2"]}


def test_series_sends_every_matcher_and_sorts_what_comes() -> None:
    body = b'{"status":"success","data":[{"b":"2","a":"1"},{"a":"0"}]}'
    with connected(lambda _: Told(body=body)) as (connection, asked):
        assert Api(connection).series(['{a="1"}', '{b="2"}'], 1, 2) == [(("a", "0"),), (("a", "1"), ("b", "2"))]
    assert asked[0].params["match"] == ['{a="1"}', '{b="2"}']


def test_a_query_is_sent_as_logcli_sends_it() -> None:
    body = b'{"data":{"resultType":"streams","result":[]}}'
    with connected(lambda _: Told(body=body)) as (connection, asked):
        Api(connection).query_range('{a="b"} |= "c&d"', 1, 2, limit=30, direction="backward")
    assert asked[0].params == {
        "query": ['{a="b"} |= "c&d"'],
        "start": ["1"],
        "end": ["2"],
        "limit": ["30"],
        "direction": ["BACKWARD"],
    }
