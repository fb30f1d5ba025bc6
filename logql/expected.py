"""Which tokens a syntax error says were expected: what a parser made by goyacc lists.

Lark finds an error as soon as no rule goes on with the token. goyacc's tables know less: a state that can reduce at all
has a default reduction, the one that most tokens ask for, and takes it for every token that it has no other plan for.
So the error comes up later, in a state that reduces nothing, and the list is what that state can shift.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeAlias

from lark.parsers.lalr_analysis import Shift
from lark.parsers.lalr_interactive_parser import InteractiveParser

from logql.tokens import END, ORDER

_Actions: TypeAlias = dict[str, tuple[Any, Any]]
"""Token or rule -> Shift and the state to go to, or Reduce and a rule."""


def expected_tokens(parser: InteractiveParser) -> list[str]:
    """The tokens, in the order of error texts, that fit where the last one did not; END is never among them.

    Args:
        parser: in the state in which it refused the token. It is left as it is.
    """
    stack: list[int] = list(parser.parser_state.state_stack)
    states: dict[int, _Actions] = parser.parser_state.parse_conf.parse_table.states
    while rule := _default_reduction(states[stack[-1]]):
        if rule.expansion:
            del stack[-len(rule.expansion) :]
        stack.append(states[stack[-1]][rule.origin.name][1])
    return sorted((token for token in states[stack[-1]] if token in ORDER), key=ORDER.__getitem__)


def _default_reduction(actions: _Actions) -> Any:
    """The rule that most tokens reduce, of two the one whose first token comes first; None if none is reduced."""
    tokens = sorted((token for token in actions if token in ORDER or token == END), key=_token_number)
    rules = Counter(argument for kind, argument in map(actions.__getitem__, tokens) if kind is not Shift)
    return max(rules, key=rules.__getitem__, default=None)


def _token_number(token: str) -> int:
    return ORDER.get(token, -1)
