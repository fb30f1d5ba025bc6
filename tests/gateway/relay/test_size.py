from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.relay.backoff import FIRST, MOST, MOST_ASKED, delay
from gateway.relay.size import AdaptiveSize


def down(size: AdaptiveSize) -> list[int]:
    found = [size.now]
    while size.failed():
        found.append(size.now)
    return found


def up(size: AdaptiveSize) -> list[int]:
    found = [size.now]
    while size.succeeded():
        found.append(size.now)
    return found


def test_failures_take_a_fifth_down_to_the_least() -> None:
    assert down(AdaptiveSize(1000, 0.2, 0.1)) == [1000, 800, 640, 512, 410, 328, 262, 210, 200]


def test_successes_add_a_tenth_up_to_the_target() -> None:
    size = AdaptiveSize(1000, 0.1, 0.1)
    assert down(size)[-1] == 100
    found = up(size)
    assert found[:7] == [100, 110, 121, 133, 146, 161, 177]
    assert found[-1] == 1000
    assert found == sorted(set(found))
    assert all(after <= round(1.1 * before) for before, after in pairwise(found))


def test_the_percentage_is_of_the_target() -> None:
    size = AdaptiveSize(500, 0.2, 0.1)
    assert size.percent == 100
    size.failed()
    assert (size.now, size.percent) == (400, 80)


@pytest.mark.parametrize("target", [1, 2, 3, 5])
def test_small_sizes_go_down_and_come_back(target: int) -> None:
    size = AdaptiveSize(target, 0.2, 0.1)
    assert down(size) == list(range(target, 0, -1))
    assert up(size) == list(range(1, target + 1))


def test_without_recovery_it_stays_small() -> None:
    size = AdaptiveSize(1000, 0.5, 0)
    assert down(size) == [1000, 800, 640, 512, 500]
    assert not size.succeeded()


def test_waits_double_up_to_the_longest_and_no_two_are_the_same() -> None:
    for failures in range(1, 40):
        most = min(MOST, FIRST * 2 ** (failures - 1))
        waits = {delay(failures) for _ in range(20)}
        assert len(waits) > 1
        assert all(most / 2 <= wait <= most for wait in waits)


def test_what_the_destination_asks_for_is_waited_for() -> None:
    assert all(30 <= delay(1, 30) <= 33 for _ in range(20))
    assert delay(30, 0) >= MOST / 2
    assert delay(1, 10**9) <= 1.1 * MOST_ASKED
