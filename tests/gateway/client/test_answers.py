from __future__ import annotations

import pytest

from gateway.client import BadAnswer, Series, Streams
from gateway.client.answers import decode_label_sets, decode_names, decode_query


def streams_of(body: bytes) -> Streams:
    answer = decode_query(body)
    assert isinstance(answer, Streams)
    return answer


def test_the_order_of_keys_does_not_matter_and_unknown_ones_are_let_pass() -> None:
    answer = streams_of(
        b'{"new":1,"data":{"result":[{"values":[["1","a"]],"stream":{"x":"y"}}],"stats":{},"resultType":"streams"},'
        b'"warnings":["w"],"status":"success"}'
    )
    assert [(stream.stream, [(e.ts, e.line) for e in stream.values]) for stream in answer.streams] == [
        ({"x": "y"}, [("1", "a")])
    ]
    assert answer.warnings == ["w"]


def test_an_entry_may_carry_categorised_labels() -> None:
    answer = streams_of(
        b'{"data":{"resultType":"streams","result":[{"stream":{},"values":[["1","a",{"parsed":{"b":"c"}}]]}]}}'
    )
    assert answer.streams[0].values[0].line == "a"


def test_broken_utf8_in_an_answer_becomes_a_replacement_character() -> None:
    answer = streams_of(b'{"data":{"resultType":"streams","result":[{"stream":{},"values":[["1","a\xffb"]]}]}}')
    assert answer.streams[0].values[0].line == "a\ufffdb"


def test_a_metric_answer_keeps_its_json() -> None:
    answer = decode_query(b'{"data":{"resultType":"matrix","result":[{"metric":{},"values":[[1.5,"2"]]}]}}')
    assert answer == Series("matrix", b'[{"metric":{},"values":[[1.5,"2"]]}]', [])


def test_names_and_series_may_come_without_data() -> None:
    assert decode_names(b'{"status":"success"}') == []
    assert decode_label_sets(b'{"status":"success","data":[]}') == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>login</html>",
        b"[]",
        b'{"status":"success"}',
        b'{"data":{"resultType":"streams","result":{}}}',
        b'{"data":{"resultType":"streams","result":[{"stream":{},"values":[[1,"a"]]}]}}',
        b'{"data":{"resultType":"streams","result":[{"stream":{"a":1},"values":[]}]}}',
        b'{"data":{"resultType":"streams"',
    ],
)
def test_another_shape_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="not one of Loki's API"):
        decode_query(body)
