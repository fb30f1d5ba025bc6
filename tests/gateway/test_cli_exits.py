from __future__ import annotations

import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.gateway.client.canned import Asked, Told, canned_server, streams_body
from tests.gateway.weir_command import COMMAND, environment, weir

TWO_LINES = streams_body([({"app": "web"}, [(2_000_000_000, "second"), (1_000_000_000, "first")])])


def test_an_answer_is_0() -> None:
    with canned_server(lambda _: Told(body=TWO_LINES)) as server:
        done = weir("query", '{app="web"}', "--addr", server.url, "-o", "raw")
    assert (done.returncode, done.stdout) == (0, "second\nfirst\n")


@pytest.mark.parametrize("command", [["query", "{"], ["labels"], ["labels", "app"], ["series", "{"]])
def test_a_server_that_says_no_is_1_and_its_text_is_printed(command: list[str]) -> None:
    with canned_server(lambda _: Told(400, b"parse error at line 1, col 2: syntax error")) as server:
        done = weir(*command, "--addr", server.url)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "parse error at line 1, col 2: syntax error" in done.stderr


def test_an_answer_that_is_not_loki_s_is_1() -> None:
    with canned_server(lambda _: Told(body=b"<html>please log in</html>")) as server:
        done = weir("labels", "--addr", server.url)
    assert done.returncode == 1
    assert "not one of Loki's API" in done.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["query"], "LOGQL"),
        (["query", "{}", "--limit", "-1"], "--limit"),
        (["query", "{}", "--limit", "many"], "--limit"),
        (["query", "{}", "--direction", "sideways"], "--direction"),
        (["query", "{}", "--output", "xml"], "--output"),
        (["query", "{}", "--since", "5x"], "'5x' is no duration"),
        (["query", "{}", "--from", "noon"], "'noon' is no time"),
        (["labels", "--to", "noon"], "'noon' is no time"),
        (["series", "--addr", "localhost"], "'localhost' is no server's address"),
        (["labels", "--colour"], "--colour"),
        (["frobnicate"], "frobnicate"),
        (["serve", "--set", "memtable.size"], "path=value"),
        (["serve", "--set", "memtable.sice=1MB"], "memtable.size"),
        (["serve", "--config", "/nonexistent/weir.yml"], "/nonexistent/weir.yml"),
        (["config", "check", "--set", "server.http=nowhere"], "server.http"),
        (["config", "show", "--profile", "huge"], "small"),
        (["verify", "--data-dir", "/nonexistent"], "/nonexistent"),
    ],
)
def test_a_wrong_flag_argument_or_setting_is_2(args: list[str], says: str) -> None:
    done = weir(*args)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_at_the_address_is_3() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        addr = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = weir("labels", "--addr", addr)
    assert done.returncode == 3
    assert f"cannot reach {addr}" in done.stderr


def test_an_answer_that_breaks_off_before_any_line_is_3() -> None:
    with canned_server(lambda _: Told(body=TWO_LINES[:40], promised=len(TWO_LINES))) as server:
        done = weir("query", '{app="web"}', "--addr", server.url)
    assert (done.returncode, done.stdout) == (3, "")


@pytest.mark.parametrize("failure", [Told(500, b"out of memory"), Told(promised=100)])
def test_a_later_page_that_fails_is_4_and_the_earlier_lines_stand(failure: Told) -> None:
    answers = iter([Told(body=TWO_LINES), failure])
    with canned_server(lambda _: next(answers)) as server:
        done = weir("query", '{app="web"}', "--from", "0", "--limit", "0", "-o", "raw", "--addr", server.url)
    assert (done.returncode, done.stdout) == (4, "second\nfirst\n")
    assert "cut short after 2 lines" in done.stderr


def test_an_answer_with_warnings_is_4_and_says_each_once() -> None:
    def answer(asked: Asked) -> Told:
        first = asked.params["limit"] == ["1000"]
        lines = [(2_000_000_000, "second")] if first else []
        return Told(body=streams_body([({"app": "web"}, lines)], warnings=["a block could not be read"]))

    with canned_server(answer) as server:
        done = weir("query", '{app="web"}', "--limit", "0", "-o", "raw", "--addr", server.url)
    assert (done.returncode, done.stdout) == (4, "second\n")
    assert done.stderr.count("a block could not be read") == 1


def test_an_output_that_cannot_be_written_is_4() -> None:
    with canned_server(lambda _: Told(body=TWO_LINES)) as server, Path("/dev/full").open("wb") as full:
        args = [*COMMAND, "query", "{}", "--addr", server.url]
        done = subprocess.run(
            args, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 4
    assert "cannot write the output" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_enough_ends_it_quietly() -> None:
    # More than a pipe holds, so that the command is still writing when its reader goes.
    body = streams_body([({"app": "web"}, [(10_000 - number, "x" * 1000) for number in range(1000)])])
    with canned_server(lambda _: Told(body=body)) as server:
        args = [*COMMAND, "query", "{}", "--from", "0", "--limit", "0", "-o", "raw", "--addr", server.url]
        with subprocess.Popen(args, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == b"x" * 1000 + b"\n"
            process.stdout.close()
            assert process.wait(timeout=60) == 0
            assert process.stderr.read() == b""


def test_ctrl_c_is_130_without_a_traceback() -> None:
    asked, over = threading.Event(), threading.Event()

    def wait(_: Asked) -> Told:
        asked.set()
        over.wait(30)
        return Told()

    with canned_server(wait) as server:
        args = [*COMMAND, "labels", "--addr", server.url]
        with subprocess.Popen(args, env=environment(), stderr=subprocess.PIPE) as process:
            assert asked.wait(30)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
            assert process.stderr is not None
            assert process.stderr.read() == b""
        over.set()


def test_the_server_s_address_may_come_from_the_environment_and_a_flag_beats_it() -> None:
    with canned_server(lambda _: Told(body=b'{"data":["app"]}')) as server:
        nowhere = "http://127.0.0.1:9"
        assert weir("labels", env={"LOKI_ADDR": server.url}).stdout == "app\n"
        assert weir("labels", env={"WEIR_ADDR": server.url, "LOKI_ADDR": nowhere}).stdout == "app\n"
        assert weir("labels", "--addr", server.url, env={"WEIR_ADDR": nowhere}).stdout == "app\n"


def test_the_tenant_may_come_from_the_environment_and_a_flag_beats_it() -> None:
    with canned_server(lambda _: Told(body=b"{}")) as server:
        env = {"WEIR_ADDR": server.url, "LOKI_ORG_ID": "team-a"}
        weir("labels", env=env)
        weir("labels", env=env | {"WEIR_ORG_ID": "team-c"})
        weir("labels", "--org-id", "team-b", env=env)
    assert [asked.headers["X-Scope-OrgID"] for asked in server.asked] == ["team-a", "team-c", "team-b"]


def test_the_client_s_variables_are_no_settings_of_the_server() -> None:
    done = weir("config", "check", env={"WEIR_ADDR": "http://127.0.0.1:3100", "WEIR_ORG_ID": "team-a"})
    assert done.returncode == 0, done.stderr
