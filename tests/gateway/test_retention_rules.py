from __future__ import annotations

import pytest

from config import ConfigError, Limits, Settings
from config.retention import Retention, StreamRetention
from gateway.retention_rules import retention_options
from gateway.store_options import store_options
from storage import RetentionOptions, TenantRules

DAY = 86_400_000_000_000


def rules(*texts: str, period: int = DAY) -> tuple[StreamRetention, ...]:
    return tuple(StreamRetention(selector=text, period=period, priority=at) for at, text in enumerate(texts))


def test_nothing_set_keeps_everything() -> None:
    options = retention_options(Settings())
    assert options == RetentionOptions()
    assert options.keep_everything


def test_the_store_gets_them() -> None:
    settings = Settings(retention=Retention(period=DAY))
    assert store_options(settings).retention == retention_options(settings)


def test_a_tenants_own_age_goes_over_that_of_limits_over_the_common_one() -> None:
    settings = Settings(
        retention=Retention(period=3 * DAY),
        overrides={"kept": Limits(retention_period=0), "other": Limits(max_line_size=1)},
    )
    options = retention_options(settings)
    assert [options.rules_of(tenant).period // DAY for tenant in ("kept", "other", "any")] == [0, 3, 3]
    settings = settings.model_copy(update={"limits": Limits(retention_period=2 * DAY)})
    assert retention_options(settings).rules_of("any").period == 2 * DAY


def test_a_tenants_own_rules_are_in_the_place_of_the_common_ones() -> None:
    settings = Settings(
        limits=Limits(retention_stream=rules('{a="b"}', '{c=~"d|e", f!="g"}')),
        overrides={
            "own": Limits(retention_stream=rules('{x="y"}')),
            "none": Limits(retention_stream=()),
            "older": Limits(retention_period=5 * DAY),
        },
    )
    options = retention_options(settings)
    common = options.rules_of("any").streams
    assert [rule.selector for rule in common] == ['{c=~"d|e", f!="g"}', '{a="b"}']
    assert [(each.name, each.op, each.value) for each in common[0].matchers] == [("c", "=~", "d|e"), ("f", "!=", "g")]
    assert [rule.selector for rule in options.rules_of("own").streams] == ['{x="y"}']
    assert options.rules_of("none") == TenantRules()
    assert options.rules_of("older") == TenantRules(5 * DAY, common)


@pytest.mark.parametrize(
    ("free", "space", "part"), [(0, 0, 0.0), (500 << 20, 500 << 20, 0.0), ("10%", 0, 0.1), ("20GB", 20 << 30, 0.0)]
)
def test_free_space_is_bytes_or_a_part(free: int | str, space: int, part: float) -> None:
    settings = Settings(retention=Retention.model_validate({"min_free_space": free, "max_total_size": "1GB"}))
    options = retention_options(settings)
    assert (options.min_free_space, options.min_free_part, options.max_total_size) == (space, part, 1 << 30)
    assert options.wanted_free(1000 << 30) == max(space, int(part * (1000 << 30)))


def test_every_selector_that_is_none_is_named() -> None:
    settings = Settings(
        limits=Limits(retention_stream=rules('{a="b"}', "a", '{a=~"("}')),
        overrides={"t": Limits(retention_stream=rules('rate({a="b"}[1m])'))},
    )
    with pytest.raises(ConfigError) as caught:
        retention_options(settings)
    assert [problem.partition(" is not a stream selector: ")[0] for problem in caught.value.problems] == [
        "limits.retention_stream: 'a'",
        "limits.retention_stream: '{a=~\"(\"}'",
        "overrides.t.retention_stream: 'rate({a=\"b\"}[1m])'",
    ]
