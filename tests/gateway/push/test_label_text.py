"""Label sets as text: Prometheus' grammar and its words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.push import label_text
from gateway.push.errors import MalformedPush, PushTooLarge
from gateway.push.label_text import MAX_TEXT, labels_from_pairs, labels_from_text
from storage.batch import Labels
from storage.labels import labels_text

READ: dict[bytes, Labels] = {
    b"": (),
    b"{}": (),
    b" { } ": (),
    b'{a="b"}': (("a", "b"),),
    b'{a="b",}': (("a", "b"),),
    b'{ a = "b" , c = "d" }': (("a", "b"), ("c", "d")),
    b'{b="1",push_case="unsorted",a="2"}': (("a", "2"), ("b", "1"), ("push_case", "unsorted")),
    b"{a=`raw\\n\n`}": (("a", "raw\\n\n"),),
    b"{a='single \" quotes'}": (("a", 'single " quotes'),),
    b'{a="\\t\\"\\\\\\x41\\101\\u00e9\\U0001F600"}': (("a", '\t"\\AA\xe9\U0001f600'),),
    b'{a="\\xff"}': (("a", "\ufffd"),),
    '{a="ünï"}'.encode(): (("a", "ünï"),),
    b'{a=""}': (),
    b'{a="x", a="y"}': (("a", "x"), ("a", "y")),
    b'up{a="b"}': (("__name__", "up"), ("a", "b")),
    b"job:rate": (("__name__", "job:rate"),),
    b'{"up", a="b"}': (("__name__", "up"), ("a", "b")),
    b'{"dotted.name"="b"}': (("dotted.name", "b"),),
    b'{# comment\na="b"}': (("a", "b"),),
    b'{by="x", on="y", sum="z"}': (("by", "x"), ("on", "y"), ("sum", "z")),
}

REFUSED: dict[bytes, str] = {
    b'{push_case="x"': "1:15: parse error: unexpected end of input inside braces",
    b"{bad": "1:5: parse error: unexpected end of input inside braces",
    b'push_case="x"}': '1:10: parse error: unexpected "="',
    b'{bad-name="x"}': "1:5: parse error: unexpected character inside braces: '-'",
    b'{push_case=~"x"}': '1:11: parse error: unexpected <op:=~> in label set, expected "="',
    b'{push_case!="x"}': '1:11: parse error: unexpected <op:!=> in label set, expected "="',
    b'{bad name="x"}': '1:6: parse error: unexpected identifier "name" in label set, expected "="',
    b'{="x"}': '1:2: parse error: unexpected "=" in label set, expected identifier or "}"',
    b'{,a="x"}': '1:2: parse error: unexpected "," in label set, expected identifier or "}"',
    b'{a="x",,}': '1:8: parse error: unexpected "," in label set, expected identifier or "}"',
    b"{a=b}": '1:4: parse error: unexpected identifier "b" in label set, expected string',
    b"{a=}": '1:4: parse error: unexpected "}" in label set, expected string',
    b'{a="x" b="y"}': '1:8: parse error: unexpected identifier "b" in label set, expected "," or "}"',
    b'{a="x" "a longer string"}': '1:8: parse error: unexpected string "\\"a longer "... in label set, '
    'expected "," or "}"',
    b'{a="x"} b': '1:9: parse error: unexpected identifier "b"',
    b'{a="x"}{': '1:8: parse error: unexpected "{"',
    b'{a="x"}12': '1:8: parse error: unexpected number "12"',
    b'{\na="x"\n?}': "3:1: parse error: unexpected character inside braces: '?'",
    b'{a="x}': "1:4: parse error: unterminated quoted string",
    b'{a="x\n"}': "1:4: parse error: unterminated quoted string",
    b"{a=`x}": "1:4: parse error: unterminated raw string",
    b'{a="\\q"}': "1:4: parse error: unknown escape sequence U+0071 'q'",
    b'{a="\\': "1:4: parse error: escape sequence not terminated",
    b'{a="\\x4': "1:4: parse error: escape sequence not terminated",
    b'{a="\\x4g"}': "1:4: parse error: illegal character U+0067 'g' in escape sequence",
    b'{a="\\400"}': "1:4: parse error: escape sequence is an invalid Unicode code point",
    b'{a="\\ud800"}': "1:4: parse error: escape sequence is an invalid Unicode code point",
    b'{a="\xff"}': "1:4: parse error: invalid UTF-8 rune",
    '{a="\ufffd"}'.encode(): "1:4: parse error: invalid UTF-8 rune",
    '{é="x"}'.encode(): "1:2: parse error: unexpected character inside braces: 'é'",
    b"{a!b}": "1:3: parse error: unexpected character after '!' inside braces: 'b'",
    b"{a{": "1:3: parse error: unexpected left brace '{'",
    b"?": "1:1: parse error: unexpected character: '?'",
}


@pytest.mark.parametrize("text", READ, ids=repr)
def test_label_sets_are_read(text: bytes) -> None:
    assert labels_from_text(text) == READ[text]


@pytest.mark.parametrize("text", REFUSED, ids=repr)
def test_what_is_no_label_set_is_refused_in_prometheus_words(text: bytes) -> None:
    with pytest.raises(MalformedPush) as refused:
        labels_from_text(text)
    assert str(refused.value) == "couldn't parse labels: " + REFUSED[text]


def test_a_text_over_16_mib_is_too_large() -> None:
    with pytest.raises(PushTooLarge) as refused:
        labels_from_text(b'{a="' + b"x" * MAX_TEXT + b'"}')
    assert str(refused.value) == "request body too large: stream labels size 17 MB exceeds limit of 17 MB"


_names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True)
# A U+FFFD is refused, as it is by Prometheus. Lone surrogates other than PEP 383's are no text of ours.
_values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), min_size=1)


@given(st.dictionaries(_names, _values))
def test_pairs_come_back_as_they_are(pairs: dict[str, str]) -> None:
    assert labels_from_pairs(pairs) == tuple(sorted(pairs.items()))


@given(st.dictionaries(_names, _values))
def test_canonical_text_is_read_back(pairs: dict[str, str]) -> None:
    labels = tuple(sorted(pairs.items()))
    assert labels_from_text(labels_text(labels).encode()) == labels


def test_bytes_that_are_no_utf8_become_replacement_characters_in_labels() -> None:
    assert labels_from_pairs({"a": 'x\udcff\n"\\udcff'}) == (("a", 'x\ufffd\n"\\udcff'),)


@given(st.one_of(st.binary(), st.text('{}=,"\\`abx01 -!~#\n\ufffdé').map(str.encode)))
def test_any_bytes_are_labels_or_refused(text: bytes) -> None:
    try:
        labels = labels_from_text(text)
    except MalformedPush:
        return
    assert list(labels) == sorted(labels, key=lambda pair: pair[0])


PIECES = ["{", "}", "a", "_b9", "=", '"x"', '""', '"ü \t{}=,#"', ",", ", ", " ", "\n", "#c", "'y'", "`z`", '"\\n"']
PIECES += ["__name__", "9", '"\udc80"']
plain_sets = st.lists(
    st.tuples(st.sampled_from(["a", "b", "_c", "__name__"]), st.sampled_from(["x", "", "ü={}", "#,"]))
)


@given(
    st.one_of(
        st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
        plain_sets.map(lambda pairs: "{" + ", ".join(f'{name}="{value}"' for name, value in pairs) + "}"),
        plain_sets.map(lambda pairs: "{" + ",".join(f'{name}="{value}"' for name, value in pairs) + ",}"),
    )
)
def test_plain_texts_are_read_as_the_parser_reads_them(text: str) -> None:
    raw = text.encode("utf-8", "surrogateescape")

    def outcome(read: Callable[[bytes], Labels]) -> object:
        try:
            return read(raw)
        except MalformedPush as refused:
            return str(refused)

    assert outcome(label_text._read) == outcome(label_text._parse)
