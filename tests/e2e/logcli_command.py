"""logcli's command line, as far as the recorded cases use it: arguments in, exit code and standard output out."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.e2e.logcli import SECOND, Entry, Logcli, Refused, Samples

Labels = Mapping[str, str]
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_UNITS = {"s": 1, "m": 60, "h": 3600}


def run(url: str, arguments: Sequence[str]) -> tuple[int, str]:
    """Exit code and standard output of `logcli ARGUMENTS`, times in UTC."""
    options = _parser().parse_args(arguments)
    with Logcli(url) as client:
        try:
            return 0, _COMMANDS[options.command](client, options)
        except Refused:
            return 1, ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="logcli", exit_on_error=False)
    parser.add_argument("--quiet", "-q", action="store_true")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in _COMMANDS:
        command = commands.add_parser(name)
        command.add_argument("--from", dest="start", type=_time)
        command.add_argument("--to", dest="end", type=_time)
        command.add_argument("--now", type=_time)
        command.add_argument("--limit", type=int, default=30)
        command.add_argument("--batch", type=int, default=1000)
        command.add_argument("--line-limit", type=int, default=1000)
        command.add_argument("--parallel-max-workers", type=int, default=1)
        command.add_argument("--step", type=_seconds, default=0)
        command.add_argument("--forward", action="store_true")
        command.add_argument("--output", "-o", choices=["default", "raw", "jsonl"], default="default")
        command.add_argument("--no-labels", action="store_true")
        command.add_argument("--include-common-labels", action="store_true")
        command.add_argument("--include-label", action="append", default=[])
        command.add_argument("--exclude-label", action="append", default=[])
        command.add_argument("subject", nargs="?", default="")
    return parser


def _time(text: str) -> int:
    return int((dt.datetime.fromisoformat(text) - _EPOCH).total_seconds()) * SECOND


def _seconds(text: str) -> float:
    return float(sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smh])", text)))


def _query(client: Logcli, options: argparse.Namespace) -> str:
    pages = client.query(
        options.subject,
        options.start,
        options.end,
        limit=options.limit,
        batch=options.batch,
        forward=options.forward,
        step=options.step,
    )
    return "".join(_samples(page) if isinstance(page, Samples) else _lines(page, options) for page in pages)


def _lines(page: Sequence[Entry], options: argparse.Namespace) -> str:
    """A page in the output form asked for; labels that all of its streams have are left out."""
    streams = [dict(entry.labels) for entry in page]
    common = {} if options.include_common_labels else _common(streams)
    if options.include_label:
        common = {name: value for name, value in common.items() if name not in options.include_label}
    shown = [_shown(stream, common, options) for stream in streams]
    width = max(len(label_text(labels)) for labels in shown)
    return "".join(_line(entry, labels, width, options) + "\n" for entry, labels in zip(page, shown, strict=True))


def _shown(stream: Labels, common: Labels, options: argparse.Namespace) -> dict[str, str]:
    return {
        name: value
        for name, value in stream.items()
        if name not in common
        and (not options.include_label or name in options.include_label)
        and name not in options.exclude_label
    }


def _line(entry: Entry, labels: Labels, width: int, options: argparse.Namespace) -> str:
    moment = _EPOCH + dt.timedelta(microseconds=entry.ts // 1000)
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    if options.output == "raw":
        return entry.line
    if options.output == "jsonl":
        assert entry.ts % SECOND == 0, "recorded cases have whole seconds"
        return json.dumps({"labels": labels, "line": entry.line, "timestamp": stamp}, ensure_ascii=False)
    return f"{stamp} {entry.line}" if options.no_labels else f"{stamp} {label_text(labels):<{width}} {entry.line}"


def _common(streams: Sequence[Labels]) -> dict[str, str]:
    return dict(set[tuple[str, str]].intersection(*(set(stream.items()) for stream in streams)))


def label_text(labels: Labels) -> str:
    """`{a="b", c="d"}`, sorted by name."""
    return "{" + ", ".join(f"{name}={json.dumps(labels[name], ensure_ascii=False)}" for name in sorted(labels)) + "}"


def _samples(samples: Samples) -> str:
    return json.dumps(samples.result)


def _instant_query(client: Logcli, options: argparse.Namespace) -> str:
    return _samples(client.instant_query(options.subject, options.now, limit=options.limit))


def _labels(client: Logcli, options: argparse.Namespace) -> str:
    return "".join(f"{name}\n" for name in client.labels(options.start, options.end, options.subject))


def _series(client: Logcli, options: argparse.Namespace) -> str:
    return "".join(f"{label_text(one)}\n" for one in client.series(options.start, options.end, options.subject))


def _volume_range(client: Logcli, options: argparse.Namespace) -> str:
    return _samples(client.volume_range(options.subject, options.start, options.end, step=int(options.step)))


def _detected_fields(client: Logcli, options: argparse.Namespace) -> str:
    fields = client.detected_fields(options.subject, options.start, options.end, line_limit=options.line_limit)
    return "".join(_field(field) for field in fields)


def _field(field: Mapping[str, Any]) -> str:
    return f"label: {field['label']}\t\ttype: {field['type']}\t\tcardinality: {field['cardinality']}\n"


_COMMANDS = {
    "query": _query,
    "instant-query": _instant_query,
    "labels": _labels,
    "series": _series,
    "volume_range": _volume_range,
    "detected-fields": _detected_fields,
}
