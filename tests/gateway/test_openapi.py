"""gateway/openapi.yaml names every route, method and path parameter, and no other; its references lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from gateway.app import routes

FILE = Path(__file__).parent.parent.parent / "gateway" / "openapi.yaml"
METHODS = {"get", "post", "put", "delete"}
WITHOUT_SUCCESS = {"/loki/api/v1/rules", "/api/prom/rules"}
"""There is never a rule group."""


def described() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return loaded


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_route_is_in_the_file_with_its_methods_and_no_other_is() -> None:
    paths = described()["paths"]
    said = {(path, method.upper()) for path, methods in paths.items() for method in METHODS & methods.keys()}
    assert said == {(route.path, method) for route in routes() for method in route.methods or ()}


def test_every_operation_says_its_path_parameters_and_an_answer_of_success() -> None:
    whole = described()
    for path, methods in whole["paths"].items():
        for operation in methods.values():
            parameters = [
                whole["components"]["parameters"][each["$ref"].rpartition("/")[2]] for each in operation["parameters"]
            ]
            assert {each["name"] for each in parameters if each["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
            assert any(status[0] in "12" for status in operation["responses"]) or path in WITHOUT_SUCCESS, path


def test_every_reference_leads_somewhere_and_everything_shared_is_used() -> None:
    whole = described()
    wanted = set(references(whole))
    schemes = whole["components"].pop("securitySchemes")
    there = {f"#/components/{kind}/{name}" for kind, named in whole["components"].items() for name in named}
    assert wanted == there
    assert {name for each in whole["security"] for name in each} == set(schemes)


class _Strict(yaml.SafeLoader):
    """YAML takes the last of two equal keys without a word."""


def _once(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    assert not twice, f"{twice} in line {node.start_mark.line + 1}"
    return loader.construct_mapping(node, deep=True)


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _once)


def test_nothing_is_described_twice() -> None:
    yaml.load(FILE.read_text("utf-8"), _Strict)
