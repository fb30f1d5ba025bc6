"""The variables of a log aggregator that others know, AGGREGATOR_*, as settings of Weir.

Empty says nothing, as where a container is given a variable that is not set. Nothing here shows a value: some are keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from config.units import parse_go_duration

NAMES: Final = {
    "AGGREGATOR_MAX_BATCH_SIZE": "`emit.max_batch_size`: a whole number",
    "AGGREGATOR_MINIMUM_PUBLISH_FREQUENCY": "`emit.minimum_publish_frequency`: a duration as Go has it, `15s`, `1m30s`",
    "AGGREGATOR_TEXT_CONFIGURATION": "`emitters`: with any value one of kind stdout, as text",
    "AGGREGATOR_NOTIFY_CONFIGURATION": "`notify`: one of kind pagerduty, from JSON with `integration_key` and perhaps "
    "`incident_key` and `identifier`",
    "AGGREGATOR_TLS": "1: the next three are used; 0: they are not",
    "AGGREGATOR_TLS_CERTIFICATE": "`tls.cert`: a path, or PEM text",
    "AGGREGATOR_TLS_KEY": "`tls.key`: a path, or PEM text",
    "AGGREGATOR_TLS_CA_CERTIFICATE": "`tls.client_ca`: a path, or PEM text",
}
"""Each variable and what it is here."""

_TLS = (("CERTIFICATE", "cert"), ("KEY", "key"), ("CA_CERTIFICATE", "client_ca"))
_PEM = "-----BEGIN "


@dataclass(frozen=True, slots=True)
class Given:
    """What one variable says.

    Attributes:
        variable: its name.
        path: the setting meant; empty with a problem.
        value: of the setting.
        problem: what is wrong with it: completes the sentence that the name begins.
    """

    variable: str
    path: tuple[str, ...] = ()
    value: Any = None
    problem: str = ""


class _Pager(msgspec.Struct, forbid_unknown_fields=True):
    """AGGREGATOR_NOTIFY_CONFIGURATION."""

    integration_key: str
    incident_key: str = ""
    identifier: str = ""


def aggregator_settings(variables: Mapping[str, str]) -> Iterator[Given]:
    """What the AGGREGATOR_* among all variables say."""
    given = {name: value for name in NAMES if (value := variables.get(name, "").strip())}
    if size := given.get("AGGREGATOR_MAX_BATCH_SIZE"):
        yield Given("AGGREGATOR_MAX_BATCH_SIZE", ("emit", "max_batch_size"), size)
    if frequency := given.get("AGGREGATOR_MINIMUM_PUBLISH_FREQUENCY"):
        yield _frequency(frequency)
    if "AGGREGATOR_TEXT_CONFIGURATION" in given:
        yield Given("AGGREGATOR_TEXT_CONFIGURATION", ("emitters",), [{"kind": "stdout", "format": "text"}])
    if pager := given.get("AGGREGATOR_NOTIFY_CONFIGURATION"):
        yield _pager(pager)
    yield from _tls(given)


def _frequency(text: str) -> Given:
    name = "AGGREGATOR_MINIMUM_PUBLISH_FREQUENCY"
    try:
        parse_go_duration(text)
    except ValueError:
        return Given(name, problem="is not a duration such as 15s, 500ms, 1m30s")
    return Given(name, ("emit", "minimum_publish_frequency"), text)


def _pager(text: str) -> Given:
    name = "AGGREGATOR_NOTIFY_CONFIGURATION"
    try:
        pager = msgspec.json.decode(text, type=_Pager)
    except msgspec.MsgspecError as error:
        wanted = "JSON with integration_key and perhaps incident_key and identifier"
        return Given(name, problem=f"is not {wanted}: {error}")
    item = {
        "kind": "pagerduty",
        "key": pager.integration_key,
        "incident_key": pager.incident_key,
        "source": pager.identifier,
    }
    return Given(name, ("notify",), [item])


def _tls(given: Mapping[str, str]) -> Iterator[Given]:
    wanted = given.get("AGGREGATOR_TLS", "0")
    if wanted not in ("0", "1"):
        yield Given("AGGREGATOR_TLS", problem="is neither 0 nor 1")
    if wanted != "1":
        return
    if "AGGREGATOR_TLS_CERTIFICATE" not in given:
        yield Given("AGGREGATOR_TLS", problem="is 1, and AGGREGATOR_TLS_CERTIFICATE says no certificate")
        return
    for name, field in _TLS:
        variable = f"AGGREGATOR_TLS_{name}"
        if text := given.get(variable):
            yield Given(variable, ("tls", field), _lines(text))


def _lines(text: str) -> str:
    r"""PEM text that was put on one line has \n where its lines end."""
    return text.replace("\\n", "\n") if _PEM in text else text
