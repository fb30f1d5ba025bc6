"""From settings to the relays of a server: its upstreams and its emitters."""

from __future__ import annotations

from dataclasses import replace

from config import ConfigError, Settings
from config.emitters import LokiEmitter
from config.relay import Upstream, enabled_upstreams
from gateway.emit.build import emitter_parts
from gateway.emit.build import relay_options as emitter_options
from gateway.relay.relays import Relays
from gateway.relay.sink import RelayOptions, Sink
from gateway.relay.tls import client_context
from gateway.relay.to_loki import loki_sink
from gateway.relay.way import Way
from logql import LogQLError, parse_selector


def build_relays(settings: Settings, version: str) -> Relays:
    """The relays of a server, not started.

    Raises:
        ConfigError: as `check_relays`.
    """
    check_relays(settings)
    relays = Relays((), Way(settings.instance_name))
    agent = f"weir/{version}"
    parts: list[tuple[RelayOptions, Sink]] = [
        (upstream_options(each), loki_sink(each, settings, relays.way.header, agent))
        for each in enabled_upstreams(settings.upstream, settings.upstreams)
    ]
    relays.add(parts)
    # What emitters write is nobody's to keep entries for: their age counts from when they came.
    emitters = emitter_parts(settings, relays.way.header, agent)
    relays.add([(replace(options, holds_retention=False), sink) for options, sink in emitters])
    return relays


def check_relays(settings: Settings) -> None:
    """Whether relays of these settings can be made, without making them.

    Raises:
        ConfigError: two have one name, a selector is none, a certificate cannot be used.
    """
    problems: list[str] = []
    names: dict[str, str] = {}
    upstreams = list(enabled_upstreams(settings.upstream, settings.upstreams))
    found = [("upstream", upstream_options(each)) for each in upstreams]
    found += [("emitter", emitter_options(each, settings)) for each in settings.emitters]
    for kind, options in found:
        where = f"{kind} {options.name}"
        if options.name in names:
            problems.append(f"{where}: there is {names[options.name]} too: relays need names of their own")
        names[options.name] = where
        try:
            if options.selector:
                parse_selector(options.selector)
        except LogQLError as error:
            problems.append(f"{where}: selector: {options.selector!r} is not a stream selector: {error}")
    certificates = [(f"upstream {each.name}", each.tls) for each in upstreams]
    certificates += [
        (f"emitter {each.label()}", each.tls) for each in settings.emitters if isinstance(each, LokiEmitter)
    ]
    for where, tls in certificates:
        try:
            client_context(
                tls.ca,
                tls.client_cert,
                tls.client_key.get_secret_value(),
                insecure_skip_verify=tls.insecure_skip_verify,
            )
        except (OSError, ValueError) as error:
            problems.append(f"{where}: tls: {error}")
    if problems:
        raise ConfigError(problems)


def upstream_options(upstream: Upstream) -> RelayOptions:
    """What the relay of an upstream does."""
    return RelayOptions(
        name=upstream.name,
        batch_size=upstream.batch_size,
        batch_interval=upstream.batch_interval,
        batch_size_min=upstream.batch_size_min,
        batch_size_recovery=upstream.batch_size_recovery,
        selector=upstream.selector,
        add_labels=tuple(sorted(upstream.add_labels.items())),
        tenant=upstream.tenant,
        notify_after=upstream.notify_after,
        max_backlog=upstream.max_backlog,
    )
