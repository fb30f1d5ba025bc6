"""JSON pushes: the fast decoder against the exact one, and the exact one's odd corners."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.push import loki_json
from gateway.push.decode import decode_push
from gateway.push.encodings import Payload
from gateway.push.errors import MalformedPush, NoStreams
from gateway.push.json_exact import decode_exact
from gateway.push.json_inside import BAD_VALUE, BadJson, _unescaped_by_one, unescaped, unescaped_by_reader
from gateway.push.json_reader import Reader
from gateway.push.label_text import labels_from_pairs
from gateway.push.loki_json import decode_json
from tests.gateway.push.decoding import JSON, LIMITS, rows

_names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True)
_texts = st.text(st.characters(exclude_categories=["Cs"]))
_values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"))
_times = st.integers(0, (1 << 63) - 1).map(str)
_entries = st.one_of(
    st.tuples(_times),
    st.tuples(_times, _texts),
    st.tuples(_times, _texts, st.dictionaries(_texts, _texts, max_size=3)),
    st.tuples(_times, _texts, st.dictionaries(_texts, _texts, max_size=3), _texts),
)
_streams = st.fixed_dictionaries(
    {}, optional={"stream": st.dictionaries(_names, _values, max_size=4), "values": st.lists(_entries, max_size=4)}
)
_pushes = st.fixed_dictionaries({"streams": st.lists(_streams, max_size=4)})


def _refusal(body: bytes, *, legacy: bool = False) -> str:
    with pytest.raises(MalformedPush) as refused:
        decode_json(Payload(body), legacy=legacy)
    return str(refused.value)


@given(_pushes, st.booleans(), st.sampled_from([None, 1]))
def test_the_fast_decoder_reads_what_the_exact_one_reads(push: Any, ascii_only: bool, indent: int | None) -> None:
    body = json.dumps(push, ensure_ascii=ascii_only, indent=indent).encode()
    fast = loki_json._decode_fast(body, labels_from_pairs)
    exact = decode_exact(Payload(body), legacy=False)
    assert list(fast.streams) == list(exact.streams)
    assert rows(fast) == rows(exact)


_odd = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), _texts, _times
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_texts, inner, max_size=3)),
    max_leaves=6,
)
_odd_streams = st.fixed_dictionaries(
    {},
    optional={"stream": _odd, "values": st.one_of(_odd, st.lists(st.lists(_odd, max_size=4), max_size=3)), "x": _odd},
)


@given(st.fixed_dictionaries({}, optional={"streams": st.one_of(_odd, st.lists(_odd_streams, max_size=3)), "y": _odd}))
def test_what_the_fast_decoder_accepts_the_exact_one_accepts_alike(push: Any) -> None:
    body = json.dumps(push).encode()
    try:
        fast = loki_json._decode_fast(body, labels_from_pairs)
    except (msgspec.DecodeError, loki_json._Unsure):
        return
    except MalformedPush as refused:
        with pytest.raises(MalformedPush, match=re.escape(str(refused))):
            decode_exact(Payload(body), legacy=False)
        return
    assert rows(fast) == rows(decode_exact(Payload(body), legacy=False))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"x"', "x"),
        ("5", "5"),
        ("true", "true"),
        ('{"a":"b"}', '{"a":"b"}'),
        ("[1, 2]", "[1, 2]"),
        ('"\\u00e9\\n"', "é\n"),
    ],
)
def test_label_values_of_any_type_are_taken_as_they_are_written(value: str, expected: str) -> None:
    batch = decode_json(Payload(f'{{"streams":[{{"stream":{{"a":{value}}}}}]}}'.encode()), legacy=False)
    assert batch.streams == [(("a", expected),)]


def test_lines_and_metadata_keep_bytes_that_are_no_utf8() -> None:
    body = b'{"streams":[{"stream":{"a":"\xfe"},"values":[["1","x\xff\\n\\u00e9",{"k":"\xff\\t"}]]}]}'
    batch = decode_json(Payload(body), legacy=False)
    assert rows(batch) == [((("a", "\ufffd"),), 1, b"x\xff\n\xc3\xa9", {"k": b"\xff\t"})]


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (r"\ud83d\ude00", "\U0001f600"),
        (r"\ud800xxdc00y", "\U00010000y"),  # the four digits of whatever six bytes follow
        (r"\udc00\udc00", "\ufffd"),
        (r"\ud83d\uffff", chr(0x10000 + (0x3D << 10) + 0x23FF)),
        (r"\\ud800", r"\ud800"),
        (r"\ud800", None),
        (r"\ud800 \ude00", None),
        (r"\ud800\u0041", None),
        (r"\ude00", None),
    ],
)
def test_half_a_surrogate_pair_takes_what_follows_or_the_push_is_refused(line: str, read: str | None) -> None:
    body = b'{"streams":[{"values":[["1","%s"]]}]}' % line.encode()
    if read is None:
        assert BAD_VALUE in _refusal(body)
    else:
        assert rows(decode_json(Payload(body), legacy=False))[0][2] == read.encode()


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (r"\ud83d\ude00", "\U0001f600"),
        (r"\ud800 \udc00\ud800", "\ufffd \ufffd\ufffd"),
        (r"\ud800\ud83d\ude00", "\ufffd\ufffd\ufffd"),  # taken in pairs
        (r"\ud800\u0041\n", "\ufffdA\n"),
        (r"\ud800\n", "\ufffd\n"),
    ],
)
def test_half_a_surrogate_pair_of_the_older_format_is_a_replacement_character(line: str, read: str) -> None:
    body = b'{"streams":[{"labels":"{a=\\"b\\"}","entries":[{"ts":"2026-11-21T10:00:00Z","line":"%s"}]}]}'
    assert rows(decode_json(Payload(body % line.encode()), legacy=True))[0][2] == read.encode()


@given(
    st.lists(
        st.one_of(
            st.sampled_from([b'\\"', b"\\\\", b"\\/", b"\\b", b"\\n", b"\\u0041", b"\\ud83d\\ude00"]),
            st.binary(max_size=3).filter(lambda raw: b"\\" not in raw),
        )
    ).map(b"".join)
)
@example(b'\\n"')
def test_escapes_are_undone_alike_in_one_go_and_one_by_one(text: bytes) -> None:
    assert unescaped(text) == _unescaped_by_one(text, BAD_VALUE) == unescaped_by_reader(text)


def test_an_escape_that_is_none_is_refused() -> None:
    with pytest.raises(Exception, match=re.escape(BAD_VALUE)):
        unescaped(b"\\x")


def test_of_equal_names_the_last_counts() -> None:
    body = b'{"streams":[{"stream":{"a":"1","a":"2"},"values":[["1","x"]],"values":[["2","y"]],"stream":{"b":"3"}}]}'
    assert rows(decode_json(Payload(body), legacy=False)) == [((("b", "3"),), 2, b"y", {})]


def test_null_entries_are_passed_over() -> None:
    body = b'{"streams":[{"values":[null,["1","x"],null]}]}'
    assert [row[2] for row in rows(decode_json(Payload(body), legacy=False))] == [b"x"]


@pytest.mark.parametrize("ts", ["-5", "-9223372036854775808", "007"])
def test_timestamps_are_decimal_integers(ts: str) -> None:
    batch = decode_json(Payload(f'{{"streams":[{{"values":[["{ts}","x"]]}}]}}'.encode()), legacy=False)
    assert batch.ts.tolist() == [int(ts)]


@pytest.mark.parametrize(
    "ts", ["+5", " 5", "5 ", "1_0", "٣", "9223372036854775808", "-9223372036854775809", "9" * 5000]
)
def test_other_timestamps_are_refused(ts: str) -> None:
    assert BAD_VALUE in _refusal(f'{{"streams":[{{"values":[["{ts}","x"]]}}]}}'.encode())


def test_a_text_quotes_no_more_than_the_piece_of_512_bytes_being_read() -> None:
    # The value ends 4 bytes into the second piece, so nothing of the first is quoted.
    head, tail = b'{"streams":[{"values":[["1","', b'",5]]}]}'
    end = b"5]]}"
    line = b"x" * (512 - len(head) - len(tail) + len(b"]}") + 4)
    body = head + line + tail + b" " * 100
    assert body.index(end) + len(end) - 512 == 4
    assert _refusal(body).endswith(
        "error found in #4 byte of ...|5]]}]}        |..., bigger context ...|5]]}]}" + " " * 48 + "|..."
    )


def test_control_characters_pass_only_behind_a_backslash_or_an_end_of_piece() -> None:
    body = b'{"streams":[{"values":[["1","%s"]]}]}'
    assert "trySkipString: invalid control character found: 10, error found in #10 byte" in _refusal(body % b"a\nb")
    for line, expected in ((b"\\ta\nb", b"\ta\nb"), (b"a" * 600 + b"\n", b"a" * 600 + b"\n")):
        assert rows(decode_json(Payload(body % line), legacy=False))[0][2] == expected


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"streams":[{"x":01}]}', "readFloat32: leading zero is invalid"),
        (b'{"streams":[{"x":1.}]}', "validateNumber: missing digit after dot"),
        (b'{"streams":[{"x":1.2.3}]}', "validateNumber: more than one dot found in number"),
        (b'{"streams":[{"x":-}]}', "readNumberAsString: invalid number"),
        (b'{"streams":[{"x":1e999}]}', "readNumberAsString: invalid number"),
        (b'{"streams":[{"x":nul}]}', "skipThreeBytes: expect ull"),
        (b'{"streams":[{"x":falsy}]}', "skipFourBytes: expect alse"),
        (b'{"streams":[{"x":?}]}', "Skip: do not know how to skip: 63"),
        (b'{"streams":[{"x":[1 2]}]}', "ReadArrayCB: expect ] in the end, but found 2"),
        (b'{"streams":[{"x":{1:2}}]}', 'ReadObjectCB: expect " after {, but found 1'),
        (b'{"streams":[{"x" 1}]}', "ReadObject: expect : after object field, but found 1"),
        (b'{"streams":[{"x":1 "y":2}]}', "ReadObjectCB: object not ended with }"),
        (b'{"streams":[{"x":1,}]}', 'ReadString: expects " or n, but found }'),
        (b'{"streams":["\\q"]}', "readEscapedChar: invalid escape char after \\"),
        (b'{"streams":["\\u12G4"]}', "readU4: expects 0~9 or a~f, but found G"),
        (b'{"streams":["x', "readStringSlowPath: unexpected end of input"),
        (b'{"streams":[{}', "decode slice: expect ], but found \0"),
        (b'{"streams":[12', "unmarshalerDecoder: Value looks like object, but can't find closing '}' symbol"),
    ],
)
def test_malformed_values_are_refused_in_lokis_words(body: bytes, text: str) -> None:
    refusal = _refusal(body)
    assert refusal.startswith(f"loghttp.PushRequest.Streams: []loghttp.LogProtoStream: {text}, error found in #")


@pytest.mark.parametrize("body", [b'{"x', b'{"x"', b'{"x":', b'{"x":1', b'{"streams":[]', b'{"streams":[{}]'])
def test_a_body_cut_short_is_refused(body: bytes) -> None:
    assert _refusal(body).startswith("loghttp.PushRequest.")


def test_names_of_the_outside_are_read_in_any_case_and_with_escapes() -> None:
    body = b'{"x":[{"y":null}],"STRE\\u0041MS":[{"stream":{"a":"b"}}]} and more'
    assert decode_json(Payload(body), legacy=False).streams == [(("a", "b"),)]


def test_a_fault_of_the_body_counts_only_where_the_value_is_not_whole() -> None:
    whole = b'{"streams":[{"stream":{"a":"b"}}]}'
    assert decode_json(Payload(whole, "unexpected EOF"), legacy=False).streams == [(("a", "b"),)]
    with pytest.raises(
        MalformedPush, match=r"^loghttp\.PushRequest\.Streams: \[\]loghttp\.LogProtoStream: unexpected EOF$"
    ):
        decode_json(Payload(whole[:-3], "unexpected EOF"), legacy=False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"streams":' + b"[" * 1_000_000,
        b'{"streams":[{"x":' + b'[{"a":' * 500_000,
        b'{"streams":[{"stream":{"a":' + b"[" * 9990 + b"]" * 9990 + b"}}]" + b"]" * 1_000_000,
        b'{"streams":[{"x":' + b"9" * 3_000_000 + b"}]}",
        b'{"streams":[{"x":1e' + b"9" * 3_000_000 + b"}]}",
        b'{"streams":[{"values":[["' + b"1" * 3_000_000 + b'","x"]]}]}',
        b'{"streams":[{"values":[["1","' + b"\\u0041" * 500_000 + b"\\",
    ],
    ids=["arrays", "both", "label", "digits", "exponent", "timestamp", "escapes"],
)
def test_absurd_bodies_are_refused_quickly(body: bytes) -> None:
    with pytest.raises(MalformedPush):
        decode_json(Payload(body), legacy=False)


ENTRY = b'["1795255200000000000","a line of \\"some\\" length",{"k":"v"}]'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"streams":[{"stream":{},"values":[%s', "do not know how to skip: 0"),
        (b'{"streams":[{"stream":{},"values":[%s["1","x"', "expect ] in the end, but found \0"),
        (b'{"streams":[{"values":[%s["1","x"]]}]oops', "object ended prematurely, unexpected char o"),
        (b'{"streams":[{"values":[%s["1","x"]]},{"values":[["\x01', "invalid control character found: 1"),
    ],
)
def test_the_text_of_a_big_malformed_body_is_that_of_a_small_one(body: bytes, text: str) -> None:
    entries = ENTRY + b","
    big = 5_000_000 // len(entries) // 512 * 512  # the pieces that a text quotes begin at the same bytes
    shown = [_refusal(body % (entries * times)).replace("\0", "0") for times in (512, big)]
    assert text.replace("\0", "0") in shown[0]
    assert shown[0] == shown[1]


class OneByOne(Reader):
    """Reads every token."""

    def _skip_good(self, run: re.Pattern[bytes]) -> None:
        pass


_PIECES = st.sampled_from(
    [
        *(ENTRY, b'["1","\\u00e9"]', b'[ "2" , "" , { } ]', b'["1","x",{"k":5}]', b'["1"]', b"[]", b"{}"),
        *(
            b'"x"',
            b'"\\n"',
            b'"\\x"',
            b'"\x01"',
            b"5",
            b"12345678901234567",
            b"0",
            b"-1",
            b"1.5",
            b"1e5",
            b"07",
            b"true",
        ),
        *(
            b"tru",
            b"null",
            b'{"k":"v","l":5,"m":[1,2]}',
            b'{"k":1,"l" : true , "m":}',
            b"[[1,2],3]",
            b"\xff",
            b"",
            b"}",
            b"]",
        ),
    ]
)


@given(
    st.lists(_PIECES, max_size=12),
    st.sampled_from([b",", b" , "]),
    st.integers(0, 520),
    st.sampled_from([b"]]", b"]", b""]),
)
@example([ENTRY] * 30, b",", 0, b"]")
def test_what_is_good_is_read_over_at_once_as_one_by_one(
    items: list[bytes], comma: bytes, blanks: int, end: bytes
) -> None:
    body = b" " * blanks + b"[[" + comma.join(items) + end
    outcomes = []
    for reader in (Reader(body), OneByOne(body)):
        try:
            outcomes.append(reader.value(1))
        except BadJson as refused:
            outcomes.append(str(refused).encode("utf-8", "surrogateescape"))
        outcomes.append(b"%d %d" % (reader.at, reader.piece))
    assert outcomes[:2] == outcomes[2:]


def test_of_a_big_body_the_first_value_counts_whatever_follows_it() -> None:
    body = b'{"streams":[{"stream":{"a":"b"},"values":[' + b",".join([ENTRY] * 100_000) + b"]}]} and more"
    assert len(decode_json(Payload(body), legacy=False)) == 100_000


def test_a_big_odd_body_is_read_all_the_same() -> None:
    line = b"y" * 4_000_000
    batch = decode_json(Payload(b'{"streams":[{"stream":{"a":5},"values":[["1","%s\xff"]]}]}' % line), legacy=False)
    assert rows(batch) == [((("a", "5"),), 1, line + b"\xff", {})]


def test_bytes_that_are_no_utf8_stand_in_a_refusal_as_they_came() -> None:
    assert _refusal(b'{"streams":\xff}').encode("utf-8", "surrogateescape").count(b"\xff") == 3


def test_names_are_repaired_where_that_is_asked_for() -> None:
    body = b'{"streams":[{"stream":{"bad-name":"a","1x":"b","":"c","ok":"d"%s}}]}'
    for odd in (b"", b',"n":5'):
        batch = decode_push(body % odd, JSON, "", False, LIMITS, repair_names=True)
        assert batch.streams[0][:1] == (("_", "c"),)
        assert dict(batch.streams[0]).items() >= {"_1x": "b", "bad_name": "a", "ok": "d"}.items()


# -- the format of /api/prom/push


LEGACY = b'{"streams":[{"labels":"{a=\\"b\\"}","entries":[{"ts":"2026-11-21T10:00:00.000000007Z","line":"x"}]}]}'


def test_the_legacy_format_is_read() -> None:
    for body in (LEGACY, LEGACY.replace(b'"line"', b'"LINE"'), LEGACY.replace(b'{"labels"', b'{"hash":5,"labels"')):
        assert rows(decode_json(Payload(body), legacy=True)) == [((("a", "b"),), 1795255200000000007, b"x", {})]


def test_the_legacy_format_is_read_on_the_new_path_too() -> None:
    assert rows(decode_push(LEGACY, JSON, "", False, LIMITS)) == [((("a", "b"),), 1795255200000000007, b"x", {})]


def test_legacy_metadata_is_read() -> None:
    body = LEGACY.replace(b'"line":"x"', b'"line":"x","structuredMetadata":[{"name":"k","value":"v"}]')
    assert rows(decode_json(Payload(body), legacy=True))[0][3] == {"k": b"v"}


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b'"2026-11-21T10:00:00.000000007Z"', b'"x"', 'cannot parse "x" as "2006"'),
        (b"2026-11-21", b"2026-11-31", "day out of range"),
        (b"2026-11-21T", b"2026-11-21 ", 'cannot parse " 10:00:00.000000007Z" as "T"'),
        (b'"2026-11-21T10:00:00.000000007Z"', b"5", "Time.UnmarshalJSON: input is not a JSON string"),
        (b'"line":"x"', b'"line":5', 'push.Stream.Entries: []push.Entry: push.Entry.Line: ReadString: expects " or n'),
        (b'"entries":[', b'"entries":5,"x":[', "push.Stream.Entries: []push.Entry: decode slice: expect [ or n"),
        (b'"{a=', b'"{a', "couldn't parse labels: "),
    ],
)
def test_a_bad_legacy_push_is_refused_in_lokis_words(old: bytes, new: bytes, text: str) -> None:
    assert old in LEGACY
    assert text in _refusal(LEGACY.replace(old, new), legacy=True)


def test_a_body_of_the_other_path_has_streams_without_entries() -> None:
    batch = decode_json(Payload(b'{"streams":[{"stream":{"a":"b"},"values":[["1","x"]]}]}'), legacy=True)
    assert (batch.streams, len(batch)) == ([()], 0)


def test_no_streams_is_an_error_of_its_own() -> None:
    with pytest.raises(NoStreams, match=r"^error at least one valid stream is required for ingestion$"):
        decode_push(b'{"streams":[]}', JSON, "", False, LIMITS)
