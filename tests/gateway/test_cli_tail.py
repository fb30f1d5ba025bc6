"""`weir query --tail`: lines of the past and fresh ones in every form, a server that goes and comes, Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.gateway.weir_command import COMMAND, environment, weir
from tests.server import ServerProcess, running_server, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    folder = tmp_path_factory.mktemp("tail")
    # The same port after a restart.
    with running_server(folder / "data", "--http", f"127.0.0.1:{port}") as running:
        yield running


def push(server: ServerProcess, app: str, *lines: str) -> None:
    now = time.time_ns()
    values = [[str(now + place), line, {"trace": "7"}] for place, line in enumerate(lines)]
    body = {"streams": [{"stream": {"app": app, "service_name": "s"}, "values": values}]}
    httpx.post(f"{server.url}/loki/api/v1/push", json=body).raise_for_status()


class Tail:
    """The command at work."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self._folder = folder

    @property
    def out(self) -> list[str]:
        return (self._folder / "out").read_text().splitlines()

    @property
    def err(self) -> str:
        return (self._folder / "err").read_text()

    def wait_for(self, count: int) -> list[str]:
        assert wait_until(lambda: len(self.out) >= count or self.process.poll() is not None), self.err
        assert len(self.out) == count, (self.out, self.err)
        return self.out

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


@contextmanager
def tailing(server: ServerProcess, folder: Path, *args: str) -> Iterator[Tail]:
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        command = [*COMMAND, "query", "--tail", "--addr", server.url, *args]
        process = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    try:
        yield Tail(process, folder)
    finally:
        process.kill()
        process.wait()


def test_the_past_comes_first_and_ctrl_c_ends_it_without_a_word(server: ServerProcess, tmp_path: Path) -> None:
    push(server, "first", "one", "two", "three")
    with tailing(server, tmp_path, '{app="first"} | label_format x="y"', "--limit", "2") as tail:
        tail.wait_for(2)
        push(server, "first", "level=warn four")
        lines = tail.wait_for(3)
        labels = r'\{app="first", detected_level="(unknown|warn)", service_name="s", trace="7", x="y"\}'
        for text, line in zip(("two", "three", "level=warn four"), lines, strict=True):
            assert re.fullmatch(rf"\S+Z {labels} {text}", line), line
        assert tail.interrupt() == 130
        assert tail.err == ""


@pytest.mark.parametrize("form", ["raw", "jsonl", "none"])
def test_every_form_is_that_of_a_query(server: ServerProcess, tmp_path: Path, form: str) -> None:
    push(server, form, "past")
    with tailing(server, tmp_path, f'{{app="{form}"}}', "-o", form) as tail:
        if form == "none":
            assert wait_until(lambda: "loki_querier_tail_active 1.0" in httpx.get(f"{server.url}/metrics").text)
        else:
            tail.wait_for(1)
        push(server, form, "live")
        if form == "raw":
            assert tail.wait_for(2) == ["past", "live"]
        elif form == "jsonl":
            assert [json.loads(line)["line"] for line in tail.wait_for(2)] == ["past", "live"]
            assert json.loads(tail.out[1])["labels"]["trace"] == "7"
        assert tail.interrupt() == 130
        assert form != "none" or tail.out == []


def test_it_comes_back_when_the_server_does(server: ServerProcess, tmp_path: Path) -> None:
    push(server, "back", "before")
    with tailing(server, tmp_path, '{app="back"}', "-o", "raw") as tail:
        tail.wait_for(1)
        assert server.stop() == 0
        assert wait_until(lambda: "trying again in" in tail.err)
        server.start()
        push(server, "back", "after")
        assert tail.wait_for(2) == ["before", "after"]
        push(server, "back", "live")
        assert tail.wait_for(3)[2] == "live"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (['{app="a"'], 1, "weir: parse error at line 1, col 9: syntax error: unexpected $end, expecting } or ,\n"),
        (['rate({app="a"}[1m])'], 1, "weir: only log selector is supported\n"),
        (['{app="a"}', "--to", "2026-08-22T12:00:00Z"], 2, "weir: --tail has no end and explains nothing"),
        (['{app="a"}', "--limit", "0"], 2, "weir: --tail needs a --limit"),
    ],
)
def test_what_is_wrong_is_said(server: ServerProcess, args: list[str], code: int, said: str) -> None:
    done = weir("query", "--tail", "--addr", server.url, *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(said)


def test_nobody_at_the_address_is_exit_code_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    done = weir("query", "--tail", '{app="a"}', "--addr", f"http://127.0.0.1:{port}")
    assert done.returncode == 3
    assert done.stderr.startswith(f"weir: cannot reach http://127.0.0.1:{port}: ")


def test_a_reader_that_has_enough_is_no_error(server: ServerProcess) -> None:
    push(server, "head", *(str(number) for number in range(20)))
    command = [*COMMAND, "query", "--tail", "--addr", server.url, '{app="head"}', "-o", "raw"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()

        def ended() -> bool:
            push(server, "head", "more")
            return process.poll() is not None

        assert wait_until(ended)
        assert process.stderr is not None
        assert (process.returncode, process.stderr.read()) == (0, b"")
