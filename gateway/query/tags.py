"""X-Query-Tags: what clients say about their queries, `Source=grafana,feature=x`. It is logged, and little else."""

from __future__ import annotations

import re

_UNWANTED = re.compile(r"[^a-zA-Z0-9\-=.@, ]+")

_LOGS_DRILLDOWN = "grafana-lokiexplore-app"
"""The app that takes part of an answer, with a warning, where others get an error, as in Loki."""


def clean_tags(header: str) -> str:
    """The tags as they may be logged."""
    return _UNWANTED.sub("_", header)


def wants_partial(tags: str) -> bool:
    """Whether the client takes the first series of an answer that has too many.

    Args:
        tags: as `clean_tags` gives them.
    """
    for tag in tags.split(","):
        name, _, value = tag.partition("=")
        if name.strip().lower() == "source":
            return value.strip().lower() == _LOGS_DRILLDOWN
    return False
