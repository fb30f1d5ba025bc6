from __future__ import annotations

import json
import os
import subprocess

import pytest

from gateway.cli.terminal import escape_controls, escape_json_controls
from tests.gateway.client.canned import Asked, Told, canned_server, streams_body
from tests.gateway.weir_command import COMMAND, environment, on_terminal, weir

SECOND = 1_000_000_000
NOON = 1_787_400_000 * SECOND  # 2026-08-22T12:00:00Z

HOSTILE = "\x1b[2Jgone\x9b31m\u202egpj\x07\nnew line\tend\x7f"


def query(streams: list[tuple[dict[str, str], list[tuple[int, str]]]], *args: str, tz: str = "UTC0") -> tuple[str, str]:
    """stdout and stderr of `weir query` when the server answers with these streams."""
    with canned_server(lambda _: Told(body=streams_body(streams))) as server:
        done = weir("query", "{}", "--addr", server.url, *args, env={"TZ": tz})
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_the_default_form_is_time_labels_line_with_common_labels_once_on_stderr() -> None:
    out, err = query(
        [
            ({"app": "web", "env": "prod", "level": "info"}, [(NOON + 500_000_000, "two"), (NOON, "one")]),
            ({"app": "web", "env": "prod", "level": "warn"}, [(NOON + 1, "between")]),
        ]
    )
    assert out.splitlines() == [
        '2026-08-22T12:00:00.5Z {level="info"} two',
        '2026-08-22T12:00:00.000000001Z {level="warn"} between',
        '2026-08-22T12:00:00Z {level="info"} one',
    ]
    assert err == 'Common labels: {app="web", env="prod"}\n'


def test_labels_that_a_later_page_narrows_are_announced_anew() -> None:
    pages = iter(
        [
            streams_body([({"app": "web", "env": "prod"}, [(1 * SECOND, "a")])]),
            streams_body([({"app": "web", "env": "test"}, [(2 * SECOND, "b")])]),
            streams_body([]),
        ]
    )
    with canned_server(lambda _: Told(body=next(pages))) as server:
        args = ["query", "{}", "--addr", server.url, "--from", "0", "--limit", "0", "--direction", "forward"]
        done = weir(*args)
    assert done.stdout.splitlines() == ["1970-01-01T00:00:01Z {} a", '1970-01-01T00:00:02Z {env="test"} b']
    assert done.stderr.splitlines() == ['Common labels: {app="web", env="prod"}', 'Common labels: {app="web"}']


@pytest.mark.parametrize(
    ("tz", "shown"),
    [
        ("UTC0", "2026-08-22T12:00:00Z"),
        ("XXX-5:30", "2026-08-22T17:30:00+05:30"),
        ("XXX3:30", "2026-08-22T08:30:00-03:30"),
    ],
)
def test_times_are_in_the_machine_s_zone(tz: str, shown: str) -> None:
    out, _ = query([({}, [(NOON, "x")])], tz=tz)
    assert out == f"{shown} {{}} x\n"


def test_the_raw_form_is_the_line_and_nothing_else() -> None:
    out, err = query([({"app": "web"}, [(2, "two"), (1, "one")])], "-o", "raw")
    assert (out, err) == ("two\none\n", "")


def test_a_jsonl_row_stands_alone() -> None:
    out, err = query([({"b": "2", "a": "1"}, [(NOON, 'say "hi"\n')])], "--output", "jsonl")
    assert out == '{"labels":{"a":"1","b":"2"},"line":"say \\"hi\\"\\n","timestamp":"2026-08-22T12:00:00Z"}\n'
    assert err == ""


def test_a_metric_query_prints_its_result_as_json() -> None:
    result = '[{"metric":{"app":"a"},"values":[[1,"2"]]},{"metric":{"app":"b"},"values":[[1,"3"]]}]'
    body = f'{{"status":"success","data":{{"resultType":"matrix","result":{result},"stats":{{}}}}}}'.encode()
    with canned_server(lambda _: Told(body=body)) as server:
        pretty = weir("query", "count_over_time({}[1m])", "--addr", server.url).stdout
        rows = weir("query", "count_over_time({}[1m])", "--addr", server.url, "-o", "jsonl").stdout
    assert json.loads(pretty) == json.loads(result)
    assert pretty.count("\n") > 4
    assert [json.loads(row)["metric"]["app"] for row in rows.splitlines()] == ["a", "b"]


def test_labels_values_and_series_are_one_a_line() -> None:
    def answer(asked: Asked) -> Told:
        if asked.path.endswith("/series"):
            return Told(body=b'{"status":"success","data":[{"b":"2","a":"1"},{"a":"0"}]}')
        if asked.path.endswith("/values"):
            return Told(body=b'{"status":"success","data":["api","web"]}')
        return Told(body=b'{"status":"success","data":["app","level"]}')

    with canned_server(answer) as server:
        assert weir("labels", "--addr", server.url).stdout == "app\nlevel\n"
        assert weir("labels", "app", "--addr", server.url).stdout == "api\nweb\n"
        assert weir("series", "--addr", server.url).stdout == '{a="0"}\n{a="1", b="2"}\n'


def test_into_a_pipe_go_the_bytes_the_server_sent() -> None:
    with canned_server(lambda _: Told(body=streams_body([({}, [(1, HOSTILE)])]))) as server:
        args = [*COMMAND, "query", "{}", "-o", "raw", "--addr", server.url]
        done = subprocess.run(args, env=environment(), capture_output=True, timeout=60, check=True)
    assert done.stdout == HOSTILE.encode() + b"\n"


@pytest.mark.parametrize("form", ["default", "raw", "jsonl"])
def test_on_a_terminal_no_control_character_of_a_line_gets_through(form: str) -> None:
    streams = [({"app": "\x1b]0;title\x07", "x": "1"}, [(1, HOSTILE)]), ({"app": "b", "x": "1"}, [(2, "fine")])]
    with canned_server(lambda _: Told(body=streams_body(streams))) as server:
        code, screen = on_terminal("query", "{}", "-o", form, "--addr", server.url)
    assert code == 0
    assert not set(screen) & set("\x1b\x9b\u202e\x07\x7f")
    assert "gone" in screen
    if form == "jsonl":
        assert HOSTILE in [json.loads(row)["line"] for row in screen.splitlines()]
    else:
        assert "\\x1b[2Jgone\\x9b31m\\u202egpj\\x07\\nnew line\tend\\x7f" in screen.expandtabs(1).replace(
            "new line end", "new line\tend"
        )


@pytest.mark.parametrize("command", [["labels"], ["labels", "app"], ["series"]])
def test_on_a_terminal_label_values_are_escaped_too(command: list[str]) -> None:
    data: list[object] = [{"app": "\x1b[31m"}] if command == ["series"] else ["\x1b[31m"]
    with canned_server(lambda _: Told(body=json.dumps({"data": data}).encode())) as server:
        code, screen = on_terminal(*command, "--addr", server.url)
    assert code == 0
    assert "\x1b" not in screen
    assert "\\x1b[31m" in screen


def test_on_a_terminal_a_refusal_s_text_is_escaped_too() -> None:
    with canned_server(lambda _: Told(400, b"line one\nline \x1b[31mtwo")) as server:
        code, screen = on_terminal("labels", "--addr", server.url)
    assert code == 1
    assert screen == "weir: line one\nline \\x1b[31mtwo\n"


def test_a_long_download_into_a_file_shows_how_far_it_is() -> None:
    pages = iter([streams_body([({}, [(second * SECOND, "x")])]) for second in (9, 8, 7)] + [streams_body([])])
    with canned_server(lambda _: Told(body=next(pages))) as server:
        master, slave = os.openpty()
        args = [*COMMAND, "query", "{}", "--from", "0", "--limit", "0", "-o", "raw", "--addr", server.url]
        done = subprocess.run(
            args, env=environment({"TERM": "xterm"}), stdout=subprocess.PIPE, stderr=slave, timeout=60, check=True
        )
        os.close(slave)
        screen = os.read(master, 65536).decode()
        os.close(master)
    assert done.stdout == b"x\nx\nx\n"
    assert "3 lines" in screen


def test_a_tab_and_what_people_write_in_are_left_alone() -> None:
    text = "tab\t größe 日本 😀 \u200d \\n"
    assert escape_controls(text) == text
    assert escape_json_controls(text) == text


def test_every_control_character_but_tab_is_escaped() -> None:
    unsafe = [chr(code) for code in [*range(0x20), *range(0x7F, 0xA0)] if chr(code) != "\t"]
    for char in unsafe:
        assert escape_controls(char).isprintable()
        assert json.loads(f'"{escape_json_controls(char)}"') == char
