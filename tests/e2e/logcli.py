"""A client that sends the requests of logcli and puts its answers together as logcli does.

It pages like logcli: the next page begins at the last timestamp seen, asks for as many more entries as share it, and
drops those of them whose text was printed. So it finds what logcli's users would find: a server that does not answer
the first N entries in a fixed order loses lines here or doubles them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlencode

import httpx

SECOND = 10**9


class Refused(Exception):  # noqa: N818 - named for what happened
    """The server said no; the text is what logcli prints of it."""


class InvalidBatchSize(Exception):  # noqa: N818 - named for what happened
    """As many entries share a timestamp as a page holds: no page would come to an end of them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an answer. `labels` are those of its stream in the answer."""

    ts: int
    labels: tuple[tuple[str, str], ...]
    line: str


@dataclass(frozen=True, slots=True)
class Samples:
    """The answer to a metric query, as it came."""

    kind: str
    result: Any


class Logcli:
    """logcli against one server.

    Args:
        url: the server's, with a path prefix if it has one.
        org_id: `--org-id`.
        query_tags: `--query-tags`.
        compress: `--compress`.
        nocache: `--nocache`.
    """

    def __init__(
        self, url: str, *, org_id: str = "", query_tags: str = "", compress: bool = False, nocache: bool = False
    ) -> None:
        headers = {"User-Agent": "loki-logcli/3.5.0", "Accept-Encoding": "gzip" if compress else "identity"}
        if org_id:
            headers["X-Scope-OrgID"] = org_id
        if query_tags:
            headers["X-Query-Tags"] = query_tags
        if nocache:
            headers["Cache-Control"] = "no-cache"
        self._url = url.rstrip("/")
        self._http = httpx.Client(headers=headers, timeout=60)
        self.sent: list[dict[str, str]] = []
        """Parameters of the query_range calls made."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def query(
        self,
        query: str,
        start: int,
        end: int,
        *,
        limit: int = 30,
        batch: int = 1000,
        forward: bool = False,
        step: float = 0,
        interval: float = 0,
    ) -> Iterator[list[Entry] | Samples]:
        """`query`: pages of new lines in the direction asked for, or samples once.

        Args:
            query: LogQL.
            start: ns, included.
            end: ns, excluded.
            limit: most lines over all pages; 0: all.
            batch: most lines of a page.
            forward: oldest first.
            step: seconds; 0: the server's choice.
            interval: seconds; 0: every line.

        Raises:
            Refused: the server did not answer 2xx.
            InvalidBatchSize: a page cannot get past a timestamp.
        """
        total, edge = 0, list[Entry]()
        while not limit or total < limit:
            wanted = min(batch, limit - total) if limit else batch
            # Entries at the edge come once more, and have to have room.
            found = self._query_range(query, start, end, wanted + len(edge), forward, step, interval)
            if isinstance(found, Samples):
                yield found
                return
            known = {(entry.ts, entry.line) for entry in edge}
            new = [entry for entry in found if (entry.ts, entry.line) not in known]
            if not new:
                return
            yield new
            total += len(new)
            last = found[-1].ts
            edge = [entry for entry in found if entry.ts == last]
            if len(edge) >= batch and total != limit:
                raise InvalidBatchSize(f"{len(edge)} entries share {last}, a page holds {batch}")
            start, end = (last, end) if forward else (start, last + 1)

    def _query_range(
        self, query: str, start: int, end: int, limit: int, forward: bool, step: float, interval: float
    ) -> list[Entry] | Samples:
        params = {
            "query": query,
            "limit": str(limit),
            "start": str(start),
            "end": str(end),
            "direction": "FORWARD" if forward else "BACKWARD",
        }
        if step:
            params["step"] = f"{step:g}"
        if interval:
            params["interval"] = f"{interval:g}"
        self.sent.append(params)
        answer = self._result("/loki/api/v1/query_range", params)
        return answer if isinstance(answer, Samples) else _by_time(answer, forward=forward)

    def instant_query(self, query: str, now: int, *, limit: int = 30) -> Samples:
        """`instant-query`."""
        params = {"query": query, "limit": str(limit), "time": str(now), "direction": "BACKWARD"}
        answer = self._result("/loki/api/v1/query", params)
        assert isinstance(answer, Samples), "streams do not come from an instant query"
        return answer

    def labels(self, start: int, end: int, name: str = "") -> list[str]:
        """`labels`, `labels NAME`."""
        path = f"/loki/api/v1/label/{quote(name, safe='')}/values" if name else "/loki/api/v1/labels"
        answer = self._get(path, {"start": str(start), "end": str(end)})
        names: list[str] = answer.get("data") or []
        return names

    def series(self, start: int, end: int, *matchers: str) -> list[dict[str, str]]:
        """`series`: the parameter is `match`, without brackets."""
        params = [("start", str(start)), ("end", str(end)), *(("match", text) for text in matchers)]
        found: list[dict[str, str]] = self._get("/loki/api/v1/series", params)["data"]
        return found

    def stats(self, query: str, start: int, end: int) -> dict[str, int]:
        """`stats`: an object of its own, with no envelope."""
        answer = self._get("/loki/api/v1/index/stats", {"query": query, "start": str(start), "end": str(end)})
        figures: dict[str, int] = {name: answer[name] for name in ("streams", "chunks", "bytes", "entries")}
        assert all(type(value) is int for value in figures.values()), answer
        return figures

    def volume_range(self, query: str, start: int, end: int, *, step: int) -> Samples:
        """`volume_range`."""
        params = {"query": query, "start": str(start), "end": str(end), "limit": "30", "step": str(step)}
        answer = self._result("/loki/api/v1/index/volume_range", params)
        assert isinstance(answer, Samples), "volumes are numbers"
        return answer

    def detected_fields(self, query: str, start: int, end: int, *, line_limit: int = 1000) -> list[dict[str, Any]]:
        """`detected-fields`."""
        params = {"query": query, "start": str(start), "end": str(end), "limit": "100", "line_limit": str(line_limit)}
        fields: list[dict[str, Any]] = self._get("/loki/api/v1/detected_fields", params).get("fields", [])
        return fields

    def _result(self, path: str, params: Mapping[str, str]) -> list[Entry] | Samples:
        answer = self._get(path, params)
        assert answer["status"] == "success", answer
        data = answer["data"]
        check_stats(data.get("stats", {}))
        if data["resultType"] != "streams":
            return Samples(data["resultType"], data["result"])
        return [
            Entry(int(ts), tuple(sorted(stream["stream"].items())), line)
            for stream in data["result"]
            for ts, line in stream["values"]
        ]

    def _get(self, path: str, params: Mapping[str, str] | Sequence[tuple[str, str]]) -> Any:
        pairs = sorted(params.items() if isinstance(params, Mapping) else params, key=lambda pair: pair[0])
        answer = self._http.get(f"{self._url}{path}?{urlencode(pairs)}")
        if answer.status_code // 100 != 2:
            raise Refused(f"error response from server: {answer.text} (<nil>)")
        return answer.json()


def _by_time(entries: Sequence[Entry], *, forward: bool) -> list[Entry]:
    """Entries of all streams in one row; the server's order stands among equal times."""
    return sorted(entries, key=lambda entry: entry.ts if forward else -entry.ts)


FLOATS = {"execTime", "queueTime", "querierExecTime", "chunkRefsLookupTime", "bloomFilterTime"}
BOOLS = {"usedBloomFilters", "queryReferencedStructuredMetadata", "queryUsedV2Engine"}


def check_stats(stats: Mapping[str, Any]) -> None:
    """Fails where logcli could not read a figure into the field it has for it."""
    for name, value in stats.items():
        if isinstance(value, dict):
            check_stats(value)
        elif name in BOOLS:
            assert isinstance(value, bool), (name, value)
        else:
            assert isinstance(value, int | float if name in FLOATS else int), (name, value)
            assert not isinstance(value, bool), (name, value)
