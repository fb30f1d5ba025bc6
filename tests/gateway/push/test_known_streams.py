"""What is kept of lists of label sets is what is found out about each of them anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from config.limits import LEVEL_FIELDS, Limits
from gateway.push.known_streams import MOST, ROOM, Known, _Lists, known_streams
from gateway.push.label_cache import LONGEST
from gateway.push.label_checks import labels_error
from gateway.push.service_name import with_service_name
from storage.batch import Labels

LABELS = st.dictionaries(
    st.sampled_from(["app", "b", "level", "service_name", "severity", "x" * 30]),
    st.sampled_from(["x", "y" * 30]),
    max_size=3,
).map(lambda pairs: tuple(sorted(pairs.items())))
LIMITS = st.builds(
    lambda names, fields, candidates: Limits(
        max_label_name_length=names, log_level_fields=fields, discover_service_name=candidates
    ),
    st.sampled_from([20, 100]),
    st.sampled_from([(), ("b",)]),
    st.sampled_from([(), ("app",)]),
)


def scalar(streams: list[Labels], limits: Limits) -> Known:
    named = tuple(with_service_name(labels, limits.discover_service_name) for labels in streams)
    return Known(
        named,
        are_distinct=len(set(named)) == len(named),
        are_sound=all(labels_error(labels, limits) is None for labels in named),
        tell_level=any(name in (limits.log_level_fields or LEVEL_FIELDS) for labels in named for name, _ in labels),
    )


@given(st.lists(LABELS, max_size=4), LIMITS, LIMITS)
def test_equal_under_any_limits_the_first_time_and_the_next(
    streams: list[Labels], limits: Limits, others: Limits
) -> None:
    for some in (limits, others, limits):
        assert known_streams(streams, some) == scalar(streams, some)


def test_the_same_list_gives_the_same_object_and_a_long_one_is_not_kept() -> None:
    limits = Limits()
    streams = [(("app", str(number)),) for number in range(MOST)]
    assert known_streams(streams, limits) is known_streams(list(streams), limits)
    longer = [*streams, (("app", "more"),)]
    assert known_streams(longer, limits) == known_streams(longer, limits)
    assert known_streams(longer, limits) is not known_streams(longer, limits)


def test_the_room_is_not_gone_past() -> None:
    lists = _Lists()
    known = known_streams([(("app", "x"),)], Limits())
    for number in range(2 * ROOM // 1000):
        lists.put(((("app", f"{number}{'x' * 1000}"),),), known)
        assert len(lists) <= ROOM // 1000
    lists.put(((("app", "y" * LONGEST),),), known)
    assert lists.get(((("app", "y" * LONGEST),),)) is None
