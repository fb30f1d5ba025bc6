"""The HTTP client of Loki's API that the command line uses. It works against any server that speaks it.

Invariant: nothing here imports numba, numpy or pyarrow, and httpx only when a request is made: commands start at once.
"""

from __future__ import annotations

from gateway.client.answers import Series, Streams
from gateway.client.api import Api
from gateway.client.connection import Connection
from gateway.client.errors import BadAnswer, BadArgument, ClientError, CutShort, ServerRefused, Unreachable
from gateway.client.lines import Line
from gateway.client.paging import Page, pages

__all__ = [
    "Api",
    "BadAnswer",
    "BadArgument",
    "ClientError",
    "Connection",
    "CutShort",
    "Line",
    "Page",
    "Series",
    "ServerRefused",
    "Streams",
    "Unreachable",
    "pages",
]
