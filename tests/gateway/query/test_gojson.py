"""JSON strings are Go's."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.query import gojson


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"plain", rb'"plain"'),
        (b"", b'""'),
        (b'say "hi" \\ there', rb'"say \"hi\" \\ there"'),
        (b"<a>&", rb'"\u003ca\u003e\u0026"'),
        (b"\t\n\r\x08\x0c\x1b\x7f\x00", b'"\\t\\n\\r\\u0008\\u000c\\u001b\x7f\\u0000"'),
        ("Zürich 日本 \U0001f600".encode(), '"Zürich 日本 \U0001f600"'.encode()),
        ("\u2028\u2029".encode(), rb'"\u2028\u2029"'),
        (b"\xff", rb'"\ufffd"'),
        (b"\xe2\x82x", rb'"\ufffd\ufffdx"'),
        (b"\xed\xa0\x80", rb'"\ufffd\ufffd\ufffd"'),
        ("\ufffd".encode(), '"\ufffd"'.encode()),
    ],
)
def test_a_line_is_written_as_go_writes_it(line: bytes, expected: bytes) -> None:
    assert gojson.line_json(line) == expected


@given(st.binary(max_size=40))
def test_what_is_written_is_json(line: bytes) -> None:
    read = json.loads(gojson.line_json(line))
    assert read == line.decode("utf-8", "surrogateescape").translate(dict.fromkeys(range(56448, 56576), "�"))


def test_labels_keep_html_characters() -> None:
    assert gojson.labels_json([("a", "<b>&\u2028"), ("c", 'x"\n')]) == '{"a":"<b>&\u2028","c":"x\\"\\n"}'.encode()


def test_label_bytes_that_are_not_utf8_are_replaced() -> None:
    assert gojson.label_json(b"a\xffb".decode("utf-8", "surrogateescape")) == rb'"a\ufffdb"'


def test_labels_of_metrics_are_escaped_for_html() -> None:
    assert (
        gojson.metric_json([("a", "<b>&\u2028"), ("c", "\udcff")]) == rb'{"a":"\u003cb\u003e\u0026\u2028","c":"\ufffd"}'
    )
