"""Retention from settings to what the store takes: selectors parsed, limits by tenant worked out."""

from __future__ import annotations

from collections.abc import Iterable

from config import ConfigError, Limits, Settings
from config.retention import StreamRetention
from logql import LogQLError, parse_selector
from storage import RetentionOptions, StreamRule, TenantRules


def retention_options(settings: Settings) -> RetentionOptions:
    """What is to be kept.

    Raises:
        ConfigError: a rule's selector is none.
    """
    problems: list[str] = []
    common = _rules(settings, settings.limits, "limits", problems)
    tenants = {
        tenant: _rules(settings, settings.limits_for(tenant), f"overrides.{tenant}", problems)
        for tenant, own in settings.overrides.items()
        if not own.model_fields_set.isdisjoint({"retention_period", "retention_stream"})
    }
    if problems:
        raise ConfigError(problems)
    free = settings.retention.min_free_space
    return RetentionOptions(
        common=common,
        tenants=tenants,
        max_total_size=settings.retention.max_total_size,
        min_free_space=free if isinstance(free, int) else 0,
        min_free_part=0.0 if isinstance(free, int) else free,
    )


def _rules(settings: Settings, limits: Limits, above: str, problems: list[str]) -> TenantRules:
    own = limits.retention_period
    period = settings.retention.period if own is None else own
    return TenantRules(period, tuple(_parsed(limits.retention_stream, f"{above}.retention_stream", problems)))


def _parsed(rules: Iterable[StreamRetention], where: str, problems: list[str]) -> Iterable[StreamRule]:
    for rule in rules:
        try:
            matchers = parse_selector(rule.selector)
        except LogQLError as error:
            problems.append(f"{where}: {rule.selector!r} is not a stream selector: {error}")
            continue
        yield StreamRule(tuple(matchers), rule.period, rule.priority, rule.selector)
