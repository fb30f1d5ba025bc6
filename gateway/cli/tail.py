"""`weir query --tail`: what there is, then each line as it comes, until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from gateway.cli.exits import say
from gateway.cli.output import Printer
from gateway.client.access import Access
from gateway.client.follow import Pause, Plan, follow
from gateway.client.lines import Labels, format_labels
from gateway.client.tail import Tailed, tail

TOLD = 5
"""Label sets of lines that were left out, named one by one."""


def print_tail(
    logql: str,
    plan: Plan,
    printer: Printer,
    *,
    addr: str,
    org_id: str | None,
    access: Access,
    delay_for: int,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Prints a tail; returns when the server closes it in peace.

    Args:
        logql: the query.
        plan: where it begins.
        printer: takes the lines.
        addr: the server's URL.
        org_id: the tenant, or None.
        access: keys and TLS.
        delay_for: seconds that the server is to hold lines back.
        sleep: waits.

    Raises:
        ClientError: the tail cannot be had, or no more.
    """

    def open_tail(start: int, limit: int) -> Iterator[Tailed]:
        params = [("query", logql), ("limit", str(limit)), ("start", str(start))]
        if delay_for:
            params.append(("delay_for", str(delay_for)))
        return tail(addr, org_id, params, access)

    for message in follow(open_tail, plan, now=time.time_ns, sleep=sleep):
        if isinstance(message, Pause):
            say(f"{message.reason}; trying again in {message.seconds:g} s")
            continue
        printer.lines(message.lines)
        if message.dropped:
            say(_missed(message.dropped))


def _missed(dropped: Sequence[tuple[int, Labels]]) -> str:
    sets = list(dict.fromkeys(labels for _, labels in dropped))
    shown = ", ".join(format_labels(labels) for labels in sets[:TOLD])
    more = f" and {len(sets) - TOLD} others" if len(sets) > TOLD else ""
    lines = "1 line" if len(dropped) == 1 else f"{len(dropped)} lines or more"
    return f"the server left out {lines}, as they came faster than they were read: {shown}{more}"
