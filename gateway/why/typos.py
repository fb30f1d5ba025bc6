"""What a selector that no stream matches may have meant: names and values that are near to its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from gateway.state import ReadStore
from logql import Matcher
from logql.source import MatchOp
from logql.stages.label_match import LabelMatch
from storage.labels import quote

_EVER = (-(1 << 62), 1 << 62)
_LOOKED_AT = 5000
"""Values that a value is compared with letter by letter."""
_SHOWN = 3
_ALIKE = 0.6
"""How alike two texts are at least, as difflib measures it."""


def guesses(store: ReadStore, tenant: str, matchers: Sequence[Matcher]) -> Iterator[str]:
    """Sentences about the matchers that no stream of a tenant matches, or about that none matches all of them."""
    names = store.label_names(tenant, (), *_EVER)
    if not names:
        yield "There are no streams at all: nothing was ever stored for this tenant."
        return
    at_fault = False
    for matcher in matchers:
        text = _about(store, tenant, matcher, names)
        if text is not None:
            at_fault = True
            yield text
    if not at_fault and len(matchers) > 1:
        yield "Each matcher has streams, but no stream matches all of them."


def _about(store: ReadStore, tenant: str, matcher: Matcher, names: Sequence[str]) -> str | None:
    test = LabelMatch.of(matcher)
    if test.accepts(""):
        return None  # a stream without the label matches too
    if matcher.name not in names:
        return f"No stream has a label {matcher.name}.{_meant(near(matcher.name, names))}"
    values = store.label_values(tenant, matcher.name, (), *_EVER)
    if any(test.accepts(value) for value in values):
        return None
    if matcher.op is not MatchOp.EQ:
        shown = ", ".join(quote(value) for value in values[:_SHOWN])
        return f"No value of the label {matcher.name} matches {quote(matcher.value)}. It has values such as {shown}."
    meant = [quote(value) for value in near(matcher.value, values)]
    return f"No stream has {matcher.name}={quote(matcher.value)}.{_meant(meant)}"


def _meant(found: Sequence[str]) -> str:
    return f" Nearest to it: {', '.join(found)}." if found else ""


def near(text: str, candidates: Sequence[str]) -> list[str]:
    """The few candidates that are most like a text: equal but for case, containing it or contained in it, or alike."""
    folded = text.casefold()
    alike = [one for one in candidates if one.casefold() == folded]
    alike += [one for one in candidates if folded in one.casefold() or (one and one.casefold() in folded)]
    alike += get_close_matches(text, candidates[:_LOOKED_AT], _SHOWN, _ALIKE)
    return list(dict.fromkeys(alike))[:_SHOWN]
