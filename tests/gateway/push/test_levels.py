"""The level rule against recorded answers of Loki, and case by case."""

import pytest

from config.limits import LEVEL_FIELDS
from gateway.push.levels import detect_level, line_level, normalise_level, severity_level
from gateway.push.metadata import label_name
from tests.gateway.push.pushes import labels_of, records


@pytest.mark.parametrize("record", records("levels/recorded.jsonl"), ids=lambda record: record["line"][:40])
def test_a_recorded_entry_has_the_level_loki_gave_it(record: dict[str, object]) -> None:
    labels, metadata, line = record["labels"], record["metadata"], record["line"]
    assert isinstance(labels, dict)
    assert isinstance(metadata, dict)
    assert isinstance(line, str)
    clean = {label_name(name): value.encode() for name, value in metadata.items()}
    level = detect_level(labels_of(labels), clean, line.encode())
    assert level is not None
    assert level.decode() == record["level"]


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (b"", b"unknown"),
        (b"error", b"error"),
        (b"an error.", b"unknown"),
        (b"an error, then info", b"error"),
        (b"errors then warn", b"warn"),
        (b"x:error", b"unknown"),
        (b"[WaRnInG] x", b"warn"),
        (b"informational then info", b"info"),
        (b"\xff error \xff", b"error"),
        # JSON
        (b'{"level":"warn"}', b"warn"),
        (b' \t{"level":"warn"}\r\n', b"warn"),
        (b'{"msg":"error","level":"info"}', b"info"),
        (b'{"level":5,"msg":"an info"}', b"info"),
        (b'{"level":"notice","msg":"error"}', b"error"),
        (b'{"LeVeL":"info"}', b"info"),  # not a field: the word in quotes
        (b'{"LeVeL":"inf"}', b"unknown"),
        (b'{"a":{"level":"inf"}}', b"info"),
        (b'{"a":{"b":{"level":"inf"}}}', b"unknown"),
        (b'{"a":[{"level":"inf"}],"lvl":"dbg"}', b"debug"),
        (b'{"a":{"severity":"trc"},"level":"dbg"}', b"trace"),
        (b'{"\\u006cevel":"trc"}', b"trace"),
        (b'{"le\\vvel":1,"level":"trc"}', b"unknown"),
        (b'{"a":1 "level":"trc"}', b"unknown"),
        (b'{"a":nope,"level":"trc"}', b"unknown"),
        (b'{"a":-nope,"level":"trc"}', b"trace"),
        (b'{"a":{"b"},"level":"trc"}', b"unknown"),
        (b'{"a":"\\"","level":"trc"}', b"trace"),
        (b'{"level":"trc",}', b"trace"),
        (b'{"level":"dbg"', b"unknown"),
        (b'{"level":"dbg"x}', b"debug"),
        (b'\xc2\xa0{"level":"inf"}', b"unknown"),  # white space to one reader, not to the other
        # logfmt
        (b"level=trc", b"trace"),
        (b"LEVEL=trc", b"trace"),
        (b"lvl=dbg level=trc", b"trace"),
        (b"lvl=dbg severity=trc", b"trace"),
        (b'level="t\\u0072c"', b"trace"),
        (b'level="trc', b"unknown"),
        (b'x="a\\qb" level=trc', b"unknown"),
        (b"a=b=c level=trc", b"unknown"),
        (b"level=dbg a=b=c", b"debug"),
        (b"=x level=trc", b"unknown"),
        (b"level= inf=1", b"unknown"),
        (b"level lvl=trc", b"unknown"),
        (b"\xff=1 level=trc", b"unknown"),
        (b"\xc3\xa9=1 level=trc", b"trace"),
        (b"\xef\xbf\xbd=1 level=trc", b"unknown"),
        (b"\xf4\x90\x80\x80=1 level=trc", b"unknown"),
        (b'x="\\n\x01" level=trc', b"unknown"),
        (b'x="\x01" level=trc', b"trace"),
        (b'x="\\ud83d\\udca9\\ud83d" level=trc', b"trace"),
        (b"level=notice msg=warn", b"warn"),
    ],
)
def test_a_line_has_the_level_that_its_field_or_first_word_names(line: bytes, level: bytes) -> None:
    assert line_level(line) == level


def test_depth_counts_the_root_and_zero_is_any() -> None:
    line = b'{"a":{"b":{"level":"inf"}}}'
    assert line_level(line, max_depth=2) == b"unknown"
    assert line_level(line, max_depth=3) == b"info"
    assert line_level(line, max_depth=0) == b"info"
    assert line_level(b'{"a":' * 200 + b'{"level":"inf"}' + b"}" * 200, max_depth=0) == b"unknown"


def test_configured_fields_replace_the_list() -> None:
    assert line_level(b'{"prio":"dbg","level":"inf"}', ("prio",)) == b"debug"
    assert line_level(b"PRIO=dbg level=inf", ("prio",)) == b"debug"
    assert detect_level((("prio", "WARN"),), {}, b"", ("prio",)) == b"warn"


def test_labels_come_before_metadata_and_metadata_before_the_line() -> None:
    labels, metadata, line = (("level", "WARN"),), {"level": b"ERR", "severity_number": b"1"}, b"level=debug"
    assert detect_level(labels, {**metadata, "detected_level": b"TRC"}, line) == b"trace"
    assert detect_level(labels, metadata, line) == b"warn"
    assert detect_level((), metadata, line) == b"error"
    assert detect_level((), {"severity_number": b"1"}, line) == b"trace"
    assert detect_level((), {"severity_number": b""}, line) == b"debug"


def test_a_label_or_metadata_value_that_is_no_level_is_kept_and_an_empty_one_gives_none() -> None:
    assert detect_level((("level", "NOTICE"),), {}, b"error") == b"NOTICE"
    assert detect_level((), {"level": b""}, b"error") is None


def test_severity_numbers_are_four_a_level() -> None:
    levels = [severity_level(b"%d" % number) for number in range(26)]
    expected = [level for level in (b"trace", b"debug", b"info", b"warn", b"error", b"fatal") for _ in range(4)]
    assert levels == [b"unknown", *expected, b"unknown"]
    assert severity_level(b"-3") == b"trace"
    assert severity_level(b"+9") == b"info"
    assert severity_level(b"nine") == b"info"
    assert severity_level(b"99999999999999999999") == b"info"


def test_every_short_form_is_normalised() -> None:
    forms = {b"TRC": b"trace", b"Dbg": b"debug", b"inf": b"info", b"Information": b"info", b"WRN": b"warn"}
    assert {form: normalise_level(form) for form in forms} == forms
    assert normalise_level(b"emerg") == b"emerg"


def test_loki_has_fourteen_level_fields() -> None:
    assert LEVEL_FIELDS[0] == "level"
    assert len(LEVEL_FIELDS) == len(set(LEVEL_FIELDS)) == 14
