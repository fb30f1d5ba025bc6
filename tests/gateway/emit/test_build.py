"""From settings to the relays of emitters."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import load
from config.units import SECOND
from gateway.emit import emitter_parts
from gateway.emit.file import FileSink
from gateway.relay.sink import RelayOptions, Sink


def parts(tmp_path: Path, emitters: str, *more: str) -> list[tuple[RelayOptions, Sink]]:
    file = tmp_path / "weir.yml"
    file.write_text(f"data_dir: {tmp_path}/data\nemitters: {emitters}\n" + "".join(f"{line}\n" for line in more))
    return emitter_parts(load(file).settings, lambda: "here", "weir/1")


def test_what_an_emitter_does_not_say_holds_as_for_all(tmp_path: Path) -> None:
    found = parts(
        tmp_path,
        "[{kind: blackhole}, {kind: stdout, max_batch_size: 5, minimum_publish_frequency: 0, retries: 0,"
        " on_failure: discard, max_backlog: 1MB, selector: '{a=\"b\"}'}]",
        "emit: {max_batch_size: 70, minimum_publish_frequency: 3s}",
    )
    options = [each for each, _ in found]
    assert options[0] == RelayOptions("blackhole", batch_size=70, batch_interval=3 * SECOND, notify_after=6)
    assert options[1] == RelayOptions(
        "stdout",
        batch_size=5,
        batch_interval=0,
        selector='{a="b"}',
        notify_after=1,
        on_failure="discard",
        max_backlog=1 << 20,
    )
    assert [sink.kind for _, sink in found] == ["blackhole", "stdout"]


def test_another_loki_gets_labels_and_a_tenant(tmp_path: Path) -> None:
    ((options, sink),) = parts(
        tmp_path, "[{kind: loki, url: 'http://u:s3cret@far:3100', add_labels: {b: x, a: y}, tenant: acme}]"
    )
    assert (options.add_labels, options.tenant) == ((("a", "y"), ("b", "x")), "acme")
    assert (sink.kind, sink.destination) == ("loki", "http://far:3100/loki/api/v1/push")


@pytest.mark.parametrize(
    ("path", "tenancy", "shown"),
    [("/l/{tenant}", "true", False), ("/l/all", "true", True), ("/l/all", "false", False)],
)
def test_lines_say_whose_they_are_where_nothing_else_does(
    tmp_path: Path, path: str, tenancy: str, *, shown: bool
) -> None:
    ((_, sink),) = parts(tmp_path, f"[{{kind: file, name: f, path: '{path}'}}]", f"tenancy: {{enabled: {tenancy}}}")
    assert isinstance(sink, FileSink)
    assert sink.destination == path
    assert sink.options.show_tenant is shown
    assert sink.options.journal == tmp_path / "data" / "emitters" / "f.journal"
