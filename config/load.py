"""From what people write to Settings: the layers, who wins, and error texts that say where to look.

Later layers win: defaults (with a Loki file those of Loki's limits), profile, settings file, the .env beside it,
environment, flags.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
from pydantic import SecretStr, ValidationError

from config.errors import ConfigError, quoted
from config.loki import is_loki_file, loki_limits, translate
from config.relay import enabled_upstreams, is_open, shown_url
from config.relay_variables import Port
from config.schema import KeyPath, dotted, field_at, kind_of
from config.settings import Settings
from config.sources import Layer, Leaf, from_flags, from_tree, from_variables
from config.yamlfile import read_yaml

PROFILES: Mapping[str, Mapping[KeyPath, Any]] = {
    # for a machine with 1 GB or less, or a place beside the application
    "small": {("memtable", "size"): "16MB", ("wal", "reserve"): "16MB", ("query", "threads"): 2},
}


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """What load found.

    Attributes:
        settings: the settings in force.
        notes: what is given that is not used here, one sentence each, to be shown once at start.
        overrides_files: where limits of single tenants were read from: to load again when they change.
    """

    settings: Settings
    notes: tuple[str, ...] = ()
    overrides_files: tuple[Path, ...] = ()


def load(
    config_file: Path | None = None,
    overrides: Sequence[tuple[str, str]] = (),
    environ: Mapping[str, str] | None = None,
    profile: str | None = None,
    directory: Path | None = None,
) -> LoadedSettings:
    """The settings of a server.

    Args:
        config_file: a Weir or Loki settings file.
        overrides: (path, value) of `--set path=value`, (flag, value) of STANDING_FLAGS.
        environ: the environment; none: empty.
        profile: a name in PROFILES.
        directory: where a .env file is looked for if there is no settings file, which has it beside it.

    Raises:
        ConfigError: with every problem there is, not only the first.
    """
    layers = [_profile(profile)]
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    if config_file is not None:
        tree = read_yaml(config_file)
        if is_loki_file(tree):
            layers.insert(0, loki_limits())
            translation = translate(tree, config_file)
            notes, files = translation.notes, translation.overrides_files
            layers.append(translation.layer)
        else:
            layers.append(from_tree(tree, config_file))
        layers.append(_dotenv(config_file.parent / ".env"))
    elif directory is not None:
        layers.append(_dotenv(directory / ".env"))
    file_layers = len(layers)
    variables = environ or {}
    layers.append(from_variables(variables, kubernetes="KUBERNETES_SERVICE_HOST" in variables))
    layers.append(from_flags(overrides))
    if (own := _overrides_file(layers)) is not None:
        layers.insert(file_layers, _overrides(own))
        files = (*files, own)
    settings = _settings(layers)
    return LoadedSettings(settings, (*notes, *_upstream_notes(settings)), files)


def _upstream_notes(settings: Settings) -> Iterable[str]:
    """What is to be said of upstreams. Raises ConfigError: one cannot be used."""
    single = settings.upstream
    if single.enabled and not single.url:
        raise ConfigError(["upstream.enabled: is true, and upstream.url says no URL"])
    if single.url and not single.enabled:
        yield "upstream.url is given and upstream.enabled is not: nothing is passed on"
    names = [upstream.name for upstream in enabled_upstreams(single, settings.upstreams)]
    if len(set(names)) < len(names):
        raise ConfigError([f"upstreams: one has the name of `upstream`, {single.name}: give each a name of its own"])
    for upstream in enabled_upstreams(single, settings.upstreams):
        if is_open(upstream):
            yield f"upstream {upstream.name}: {shown_url(upstream.url)} is http:// and gets a key in clear text"


def _overrides_file(layers: Iterable[Layer]) -> Path | None:
    """What tenancy.overrides_file says in the layer that wins."""
    given = [leaf.value for layer in layers for leaf in layer.leaves if leaf.path == ("tenancy", "overrides_file")]
    return Path(str(given[-1])) if given and given[-1] else None


def _overrides(file: Path) -> Layer:
    """The limits of single tenants in a file of their own. What cannot be read is a problem of the layer."""
    try:
        tree = read_yaml(file)
    except ConfigError as error:
        return Layer(problems=list(error.problems))
    others = [f"{file}: {key}: only `overrides` may stand here" for key in tree if key != "overrides"]
    layer = from_tree({key: value for key, value in tree.items() if key == "overrides"}, file)
    layer.problems += others
    return layer


def _settings(layers: Iterable[Layer]) -> Settings:
    problems: list[str] = []
    leaves: dict[KeyPath, Leaf] = {}
    for layer in layers:
        problems += layer.problems
        for leaf in layer.leaves:
            leaves[leaf.path] = _with_port(leaf, leaves)
    tree: dict[str, Any] = {}
    for leaf in leaves.values():
        place = tree
        for part in leaf.path[:-1]:
            place = place.setdefault(part, {})
        place[leaf.path[-1]] = leaf.value
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        wrong: dict[str, None] = {}
        for each in error.errors(include_url=False, include_context=False, include_input=False):
            path = _leaf_path(each["loc"], leaves)
            said = _SAID.get(each["type"], each["msg"].removeprefix("Value error, "))
            wrong[_refusal(leaves[path], each["loc"][len(path) :], said)] = None
        raise ConfigError([*problems, *wrong]) from error
    if problems:
        raise ConfigError(problems)
    return settings


_SAID: Mapping[str, str] = {
    "missing": "is needed",
    "extra_forbidden": "is no key of it",
    "union_tag_not_found": "kind: is needed",
    "union_tag_invalid": "kind: there is none of that name",
    "model_type": "is no mapping of keys",
    "model_attributes_type": "is no mapping of keys",
}
"""What is said of things in lists, by pydantic's names of what is wrong; of others it says what it says."""


def _with_port(leaf: Leaf, below: Mapping[KeyPath, Leaf]) -> Leaf:
    """A port alone goes into the address that holds below it."""
    if not isinstance(leaf.value, Port):
        return leaf
    address = below[leaf.path].value if leaf.path in below else Settings().server.http
    return replace(leaf, value=leaf.value.of(address))


def _leaf_path(location: tuple[int | str, ...], leaves: Mapping[KeyPath, Leaf]) -> KeyPath:
    """The setting an error of pydantic is about; its location goes on into lists."""
    path = tuple(str(part) for part in location)
    while path not in leaves:
        path = path[:-1]
    return path


def _refusal(leaf: Leaf, inside: tuple[int | str, ...], message: str) -> str:
    """A problem of a leaf; of a list of things, where `inside` it it is, and what is said of that."""
    setting = field_at(leaf.path)
    assert setting is not None  # a Leaf's path is a setting's
    if kind_of(setting).items and isinstance(leaf.value, str | list | dict) and leaf.value:
        place = "".join(f"number {part + 1}: " if isinstance(part, int) else f"{part}: " for part in inside)
        return f"{leaf.origin}: {place}{message}"
    secret = kind_of(setting).name.startswith("secret")
    shown = "what is given" if secret or setting.annotation is SecretStr else quoted(leaf.value)
    key = "" if dotted(leaf.path) in leaf.origin else f" ({dotted(leaf.path)})"
    return f"{leaf.origin}{key}: {shown} is not {kind_of(setting).allowed}"


def _profile(name: str | None) -> Layer:
    if name is None:
        return Layer()
    if name not in PROFILES:
        raise ConfigError([f"--profile: {name!r} is not a profile; there is {', '.join(PROFILES)}"])
    return Layer([Leaf(path, value, f"--profile {name}") for path, value in PROFILES[name].items()])


def _dotenv(file: Path) -> Layer:
    """The variables of a .env file, where there is one. Lines that are no assignment are mistakes, not comments."""
    try:
        with file.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except FileNotFoundError:
        return Layer()
    except OSError as error:
        return Layer(problems=[f"{file}: cannot be read: {error.strerror}"])
    except UnicodeDecodeError as error:
        return Layer(problems=[f"{file}: is not UTF-8 text (byte {error.start})"])
    layer = from_variables({each.key: each.value or "" for each in bindings if each.key and not each.error}, file)
    layer.problems += [f"{file}: line {each.original.line}: is not KEY=value" for each in bindings if each.error]
    return layer
