"""The accessors of forward.mapping: what they mean, and which are refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from config.forward_mapping import ForwardMapping, Path, TagParts, parse_metadata, parse_named, parse_source


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("$log", Path(0, ("log",))),
        ("$kubernetes.labels.app", Path(0, ("kubernetes", "labels", "app"))),
        ("$kubernetes.labels['app.kubernetes.io/name']", Path(0, ("kubernetes", "labels", "app.kubernetes.io/name"))),
        ("$['com.docker.compose.service']", Path(0, ("com.docker.compose.service",))),
        ('$.a["b.c"].d', Path(0, ("a", "b.c", "d"))),
        ("$['TAG']", Path(0, ("TAG",))),
        ("@metadata.otlp.severity_text", Path(1, ("otlp", "severity_text"))),
        ("@group.resource.attributes['service.name']", Path(2, ("resource", "attributes", "service.name"))),
        ("$TAG", TagParts()),
        ("$TAG[1]", TagParts(1, 2)),
        ("$TAG[0:2]", TagParts(0, 2)),
        ("$TAG[1:]", TagParts(1)),
        ("web", "web"),
    ],
)
def test_accessors(text: str, meaning: object) -> None:
    assert parse_source(text) == meaning


def test_names_of_labels() -> None:
    assert parse_named("app=$a|$b|none") == ("app", (Path(0, ("a",)), Path(0, ("b",)), "none"))
    assert parse_named("$kubernetes['pod.name']") == ("kubernetes_pod_name", (Path(0, ("kubernetes", "pod.name")),))
    assert parse_metadata("*") is None
    assert parse_metadata("t=$trace.id") == ("t", Path(0, ("trace", "id")))


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("labels", "app"),
        ("labels", "app=$"),
        ("labels", "app=$a..b"),
        ("labels", "app=$a['b"),
        ("labels", "app=@other.a"),
        ("labels", "a-b=$a"),
        ("labels", "app=$TAG|$a"),
        ("metadata", "a=$a|$b"),
        ("metadata", "a=constant"),
        ("line_keys", "log"),
        ("remove_keys", "$TAG"),
        ("tenant_key", "tenant"),
        ("tag_metadata", "fluent-tag"),
    ],
)
def test_what_is_no_accessor_is_refused(setting: str, text: str) -> None:
    with pytest.raises(ValidationError):
        ForwardMapping.model_validate({setting: text})


def test_lists_may_be_written_with_commas() -> None:
    mapping = ForwardMapping.model_validate({"labels": "job=web, app=$app", "line_keys": ["$text"]})
    assert mapping.labels == ("job=web", "app=$app")
    assert mapping.line_keys == ("$text",)
