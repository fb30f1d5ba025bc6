"""What is known of label sets is kept, bounded, and never that of another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from config.limits import SERVICE_NAME_LABELS, Limits
from gateway.push.label_cache import LabelCache
from gateway.push.label_checks import are_sound, labels_error
from gateway.push.label_text import labels_from_pairs, labels_from_text
from gateway.push.service_name import with_service_name, with_service_names
from storage.batch import Labels

LABELS = st.lists(
    st.tuples(st.sampled_from(["app", "b", "service_name", "__pattern__", "x" * 30]), st.sampled_from(["x", "y" * 30])),
    max_size=4,
).map(lambda pairs: tuple(sorted(pairs)))
LIMITS = st.builds(
    lambda names, length, most: Limits(
        max_label_name_length=names, max_label_value_length=length, max_label_names_per_series=most
    ),
    st.sampled_from([5, 100]),
    st.sampled_from([5, 100]),
    st.sampled_from([2, 100]),
)


def test_a_value_is_kept() -> None:
    cache: LabelCache[int] = LabelCache()
    cache.put((("a", "b"),), 5)
    assert cache.get((("a", "b"),)) == 5
    assert cache.get((("a", "c"),)) is None


def test_the_room_is_not_gone_past() -> None:
    cache: LabelCache[int] = LabelCache(room=100_000)
    for number in range(10_000):
        cache.put((("a", str(number)),), number)
        assert len(cache) <= 250
    assert cache.get((("a", "9999"),)) == 9999


def test_a_long_label_set_is_not_kept() -> None:
    cache: LabelCache[int] = LabelCache()
    cache.put((("a", "b" * 5000),), 1)
    assert len(cache) == 0


@given(st.lists(LABELS, max_size=8), st.sampled_from([(), SERVICE_NAME_LABELS, ("b",)]))
def test_service_names_are_those_of_each_label_set(streams: list[Labels], candidates: tuple[str, ...]) -> None:
    assert with_service_names(streams, candidates) == [with_service_name(labels, candidates) for labels in streams]


def test_a_label_set_that_comes_again_is_the_same_object_again() -> None:
    first = with_service_names([labels_from_text(b'{app="twice"}')], SERVICE_NAME_LABELS)
    second = with_service_names([labels_from_pairs({"app": "twice"})], SERVICE_NAME_LABELS)
    assert first[0] is second[0]


@given(st.lists(LABELS, max_size=8), LIMITS)
def test_sound_are_label_sets_of_which_nothing_is_wrong(streams: list[Labels], limits: Limits) -> None:
    wrong = any(labels_error(labels, limits) is not None for labels in streams)
    assert are_sound(streams, limits) is not wrong
    assert are_sound(streams, limits) is not wrong
