from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from logql.substring import lines_with
from storage.batch import Texts, texts

few_bytes = st.binary(max_size=200).map(lambda raw: bytes(byte % 3 + 97 for byte in raw))


@given(st.lists(st.one_of(few_bytes, st.binary(max_size=200)), max_size=20), st.data())
def test_the_lines_that_have_a_needle_are_found(lines: list[bytes], data: st.DataObject) -> None:
    inside = st.sampled_from([line for line in lines if line] or [b"a"]).flatmap(
        lambda line: st.tuples(st.integers(0, len(line)), st.integers(1, 80)).map(lambda cut: line[cut[0] :][: cut[1]])
    )
    needle = data.draw(st.one_of(few_bytes, st.binary(max_size=4), inside))
    assert lines_with(needle, texts(lines)).tolist() == [needle in line for line in lines]


@given(st.lists(few_bytes, min_size=3, max_size=9), st.binary(min_size=1, max_size=2))
def test_a_needle_is_not_found_across_lines_nor_outside_of_them(lines: list[bytes], needle: bytes) -> None:
    every = texts(lines)
    some = Texts(every.data, every.offsets[1:-1])
    assert lines_with(needle, some).tolist() == [needle in line for line in lines[1:-1]]


def test_a_needle_at_every_place_of_a_long_line_is_found() -> None:
    for place in range(300):
        line = b"n" * place + b"needle" + b"n" * (300 - place)
        assert lines_with(b"needle", texts([b"need", line, b"needl"])).tolist() == [False, True, False]
