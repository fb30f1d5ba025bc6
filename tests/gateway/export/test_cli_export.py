"""`weir export` against a real server."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.cli.export_file import File, read_note
from gateway.client.connection import Incoming
from gateway.client.export import Mark, Part, Wanted, parts
from tests.gateway.weir_command import on_terminal, weir
from tests.server import ServerProcess, running_server

T = 1_700_000_000_000_000_000
LINES = 6_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("export") / "data") as running:
        values = [[str(T + number // 10), f"{number} " + "x" * 600] for number in range(LINES)]
        streams = [{"stream": {"app": "a", "pod": f"p{part}"}, "values": values[part::3]} for part in range(3)]
        httpx.post(f"{running.url}/loki/api/v1/push", json={"streams": streams}).raise_for_status()
        yield running


def run(server: ServerProcess, *args: str) -> str:
    done = weir("export", *args, "--addr", server.url)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


WINDOW = ("--from", str(T), "--to", str(T + 10**9))


def test_every_line_comes_in_order(server: ServerProcess, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in run(server, '{app="a"}', *WINDOW).splitlines()]
    assert sorted(int(row["line"].split()[0]) for row in rows) == list(range(LINES))
    assert [int(row["ts"]) for row in rows] == [T + number // 10 for number in range(LINES)]
    back = [json.loads(line) for line in run(server, '{app="a"}', *WINDOW, "--backward", "--limit", "5").splitlines()]
    assert {row["ts"] for row in back} == {str(T + (LINES - 1) // 10)}
    path = tmp_path / "lines.csv"
    assert run(server, '{app="a"}', *WINDOW, "-o", "csv", "--column", "pod", "--output", str(path)) == ""
    cells = list(csv.reader(io.StringIO(path.read_text("utf-8"), newline="")))
    assert cells[0] == ["ts", "pod", "line"]
    assert [row[2] for row in cells[1:]] == [row["line"] for row in rows]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_an_export_that_was_given_up_is_gone_on_with(server: ServerProcess, tmp_path: Path, form: str) -> None:
    whole, path = tmp_path / "whole", tmp_path / "part"
    run(server, '{app="a"}', *WINDOW, "-o", form, "--output", str(whole))
    note = tmp_path / "part.resume"
    params = {"query": '{app="a"}', "start": str(T), "end": str(T + 10**9), "format": form}
    with httpx.stream("GET", f"{server.url}/weir/v1/export", params=params) as answer:
        first: Part = next(parts(Incoming(answer.iter_bytes(), answer.headers), form))
    assert not first.mark.complete
    path.write_bytes(first.records + b"half a li")
    kept = {"query": '{app="a"}', "start": T, "end": T + 10**9, "format": form, "forward": True, "together": False}
    more = {"columns": [], "limit": 0, "lines": first.mark.lines, "cursor": first.mark.cursor}
    note.write_text(json.dumps({**kept, **more, "size": len(first.records), "tenant": ""}))
    other = weir("export", '{app="b"}', "--output", str(path), "--resume", "--addr", server.url)
    assert (other.returncode, "another query" in other.stderr) == (2, True)
    run(server, '{app="a"}', "--output", str(path), "--resume", *WINDOW, "-o", form, "--limit", "0")
    assert path.read_bytes() == whole.read_bytes()
    assert not note.exists()


def begun(path: Path, **more: object) -> None:
    """A file of which nothing is written, and its note."""
    path.touch()
    kept = {"query": '{app="a"}', "start": T, "end": T + 10**9, "format": "ndjson", "forward": True, "together": False}
    note = {**kept, "columns": [], "limit": 0, "lines": 0, "cursor": None, "size": 0, **more}
    path.with_name(path.name + ".resume").write_text(json.dumps(note))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-o", "csv", "--column", "pod"], "another --format, --column:"),
        (["--together"], "another --together:"),
        (["--limit", "3"], "another --limit:"),
        (["--backward"], "another --backward:"),
        (["--since", "2s"], "another --since:"),
        (["--from", str(T), "--to", str(T + 1)], "another --from, --to:"),
        (["--org-id", "t3"], "an export without a tenant"),
    ],
)
def test_an_export_is_gone_on_with_as_it_was_begun(
    server: ServerProcess, tmp_path: Path, args: list[str], said: str
) -> None:
    path = tmp_path / "part"
    begun(path, tenant="")
    done = weir("export", '{app="a"}', "--output", str(path), "--resume", *args, "--addr", server.url)
    assert (done.returncode, said in done.stderr, path.read_bytes()) == (2, True, b""), done.stderr
    run(server, '{app="a"}', "--output", str(path), "--resume", "--since", "1s")
    assert path.read_bytes().count(b"\n") == LINES


@pytest.mark.parametrize(("more", "said"), [({}, "does not say of which tenant"), ({"tenant": "t4"}, "tenant t4")])
def test_lines_of_two_tenants_never_come_into_one_file(
    server: ServerProcess, tmp_path: Path, more: dict[str, object], said: str
) -> None:
    path = tmp_path / "part"
    begun(path, **more)
    done = weir("export", '{app="a"}', "--output", str(path), "--resume", "--addr", server.url)
    assert (done.returncode, said in done.stderr, path.read_bytes()) == (2, True, b""), done.stderr


def test_the_note_of_a_file_names_the_tenant(tmp_path: Path) -> None:
    wanted = Wanted('{app="a"}', T, T + 1, "ndjson")
    file = File(tmp_path / "lines", wanted, "t4")
    file.write(b"", Mark(lines=0))
    assert read_note(tmp_path / "lines", wanted.query, "t4").tenant == "t4"
    file.done()


def test_nothing_is_overwritten_and_there_has_to_be_something_to_resume(server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    for flags in ([], ["--resume"]):
        done = weir("export", '{app="a"}', "--output", str(path), *flags, "--addr", server.url)
        assert done.returncode == 2
    assert weir("export", '{app="a"}', "--resume", "--addr", server.url).returncode == 2
    assert weir("export", "{", "--output", str(tmp_path / "new"), "--addr", server.url).returncode == 1
    assert path.read_text() == "mine"
    assert not (tmp_path / "new").exists()


def test_a_terminal_shows_how_far_it_is(server: ServerProcess, tmp_path: Path) -> None:
    to = ("--addr", server.url, "--output", str(tmp_path / "lines"))
    code, screen = on_terminal("export", '{app="a"}', *WINDOW, *to, env={"TERM": "xterm"})
    assert code == 0
    assert f"{LINES:,} lines, " in screen
    assert "100%" in screen


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_marks_are_found_wherever_chunks_end(size: int) -> None:
    body = (
        b'{"ts":"1","line":"{\\"mark\\":"}\n{"mark":{"cursor":"c","ts":"1","lines":1}}\n'
        b'{"ts":"2","line":"x"}\n{"mark":{"lines":2,"complete":true,"more":false}}\n'
    )
    chunks = iter([body[at : at + size] for at in range(0, len(body), size)])
    found = list(parts(Incoming(chunks, {}), "ndjson"))
    assert [part.records for part in found] == [b'{"ts":"1","line":"{\\"mark\\":"}\n', b'{"ts":"2","line":"x"}\n']
    assert [(part.mark.lines, part.mark.cursor, part.mark.complete) for part in found] == [
        (1, "c", False),
        (2, None, True),
    ]
