"""The mapping of Forward entries in plain Python, entry by entry: what the kernels are tested against."""

from __future__ import annotations

import re
import struct
from collections import Counter
from dataclasses import dataclass
from math import floor, isfinite

import numpy as np

from config.forward_mapping import Path
from gateway.auth import BadTenant, NoTenant, check_tenant
from gateway.forward.entries import float_texts, key_text
from gateway.forward.kernels.entry_assign import LINE_JSON, LINE_PAIRS, LINE_TEXT, LINE_WHOLE
from gateway.forward.kernels.entry_heads import MAX_NESTING
from gateway.forward.kernels.entry_walk import MAX_FLAT
from gateway.forward.mapping_rules import Rules, metadata_name, pair_name, tag_value
from gateway.push.metadata import label_name

SECOND = 1_000_000_000


class CannotReadError(Exception):
    pass


@dataclass(frozen=True)
class Node:
    """A msgpack object: its kind, its value, and its bytes."""

    kind: str
    value: object
    packed: bytes

    @property
    def items(self) -> list[Node]:
        assert isinstance(self.value, list)
        return self.value

    @property
    def pairs(self) -> list[tuple[Node, Node]]:
        assert isinstance(self.value, list)
        return self.value

    @property
    def text(self) -> bytes:
        assert isinstance(self.value, bytes)
        return self.value

    @property
    def number(self) -> float:
        assert isinstance(self.value, int | float)
        return self.value


@dataclass(frozen=True)
class Entry:
    tenant: str
    ts: int
    labels: tuple[tuple[str, str], ...]
    line: bytes
    metadata: dict[str, bytes]


@dataclass
class Cell:
    root: int
    keys: tuple[str, ...]
    node: Node
    taken: bool = False

    @property
    def path(self) -> Path:
        return Path(self.root, self.keys)

    @property
    def is_empty(self) -> bool:
        return self.node.kind == "nil" or (self.node.kind == "map" and not self.node.value)

    @property
    def text(self) -> bytes:
        value = value_text(self.node, hexed=self.root > 0)
        return value[1:] if (self.root, self.keys) == (0, ("container_name",)) and value[:1] == b"/" else value


def read(raw: bytes, at: int) -> tuple[Node, int]:
    def take(size: int) -> bytes:
        nonlocal at
        if at + size > len(raw):
            raise CannotReadError
        at += size
        return raw[at - size : at]

    begun = at
    first = take(1)[0]

    def number(form: str) -> int:
        return int(struct.unpack(f">{form}", take(struct.calcsize(form)))[0])

    def node(kind: str, value: object) -> tuple[Node, int]:
        return Node(kind, value, raw[begun:at]), at

    def container(kind: str, size: int) -> tuple[Node, int]:
        nonlocal at
        members: list[object] = []
        if size > len(raw) - at:
            raise CannotReadError
        for _ in range(size):
            one, at = read(raw, at)
            if kind == "map":
                other, at = read(raw, at)
                members.append((one, other))
            else:
                members.append(one)
        return node(kind, members)

    if first < 0x80:
        return node("int", first)
    if first >= 0xE0:
        return node("int", first - 256)
    if first < 0x90:
        return container("map", first & 15)
    if first < 0xA0:
        return container("array", first & 15)
    if first < 0xC0:
        return node("str", take(first & 31))
    match first:
        case 0xC0:
            return node("nil", None)
        case 0xC2 | 0xC3:
            return node("bool", first == 0xC3)
        case 0xC4 | 0xC5 | 0xC6:
            return node("bin", take(number("BHI"[first - 0xC4])))
        case 0xC7 | 0xC8 | 0xC9:
            size = number("BHI"[first - 0xC7])
            return node("ext", take(size + 1))
        case 0xCA | 0xCB:
            form = "fd"[first - 0xCA]
            return node("float", struct.unpack(f">{form}", take(struct.calcsize(form)))[0])
        case 0xCC | 0xCD | 0xCE | 0xCF | 0xD0 | 0xD1 | 0xD2 | 0xD3:
            return node("int", number("BHIQbhiq"[first - 0xCC]))
        case 0xD4 | 0xD5 | 0xD6 | 0xD7 | 0xD8:
            return node("ext", take((1 << (first - 0xD4)) + 1))
        case 0xD9 | 0xDA | 0xDB:
            return node("str", take(number("BHI"[first - 0xD9])))
        case 0xDC | 0xDD:
            return container("array", number("HI"[first - 0xDC]))
        case 0xDE | 0xDF:
            return container("map", number("HI"[first - 0xDE]))
    raise CannotReadError


def nesting(node: Node) -> int:
    if node.kind == "array":
        return 1 + max(map(nesting, node.items), default=0)
    if node.kind == "map" and node.value:
        return 1 + max(max(nesting(key), nesting(value)) for key, value in node.pairs)
    return 0


def float_text(value: float) -> str:
    return float_texts(np.array([value]))[0].decode()


def time_of(node: Node) -> tuple[int, str]:
    value = node.value
    if value is None:
        return 0, "now"
    if node.kind in {"int", "float"}:
        size = node.number
        if size == 0:
            return 0, "now"
        if not 0 < size < 9.2e18:
            return 0, "bad"
        scale = next((ns for limit, ns in ((1e11, SECOND), (1e14, 10**6), (1e17, 1000)) if size < limit), 1)
        if isinstance(size, int):
            return (size * scale, "time") if size * scale <= 9_200_000_000_000_000_000 else (0, "bad")
        if not size * scale < 9.2e18:
            return 0, "bad"
        whole = floor(size)
        ns = whole * scale + floor((size - float(whole)) * scale + 0.5)
        return ns, "time" if ns else "now"
    if node.kind != "ext":
        return 0, "bad"
    kind, body = node.text[0], node.text[1:]
    if kind == 0 and len(body) == 8:
        seconds, nanos = struct.unpack(">II", body)
        if nanos == 0 and seconds >= 0xFFFFFFFE:
            return 0, "begin" if seconds == 0xFFFFFFFF else "end"
    elif kind == 255 and len(body) == 4:
        seconds, nanos = int.from_bytes(body), 0
    elif kind == 255 and len(body) == 8:
        both = int.from_bytes(body)
        nanos, seconds = both >> 34, both & ((1 << 34) - 1)
    elif kind == 255 and len(body) == 12:
        nanos, seconds = struct.unpack(">Iq", body)
    else:
        return 0, "bad"
    if not 0 <= seconds < 9_200_000_000 or nanos >= SECOND:
        return 0, "bad"
    ns = seconds * SECOND + nanos
    return ns, "time" if ns else "now"


def cells_of(node: Node, root: int, above: tuple[str, ...] = ()) -> list[Cell]:
    """The leaves of a map. Raises ValueError where it nests too deep."""
    found = []
    for key, value in node.pairs:
        if nesting(key) > MAX_NESTING:
            raise ValueError
        name = key.text.decode("utf-8", "replace") if key.kind in {"str", "bin"} else key_text(key.packed)
        keys = (*above, name)
        if value.kind == "map" and value.value and len(keys) < MAX_FLAT:
            found += cells_of(value, root, keys)
        else:
            if nesting(value) > MAX_NESTING:
                raise ValueError
            found.append(Cell(root, keys, value))
    return found


def inside(text: bytes) -> str:
    out = []
    for char in utf8(text):
        if char in '"\\':
            out.append(f"\\{char}")
        elif char in "\n\r\t":
            out.append({"\n": "\\n", "\r": "\\r", "\t": "\\t"}[char])
        else:
            out.append(f"\\u{ord(char):04x}" if ord(char) < 0x20 else char)
    return "".join(out)


def utf8(text: bytes) -> str:
    """The text with one U+FFFD for each byte that is not of valid UTF-8."""
    return re.sub("[\udc80-\udcff]", "\ufffd", text.decode("utf-8", "surrogateescape"))


def json_text(node: Node, taken: frozenset[int] = frozenset()) -> str:
    """JSON of an object, without the members whose value is one of the taken objects (ids)."""
    match node.kind:
        case "str" | "bin":
            return f'"{inside(node.text)}"'
        case "ext":
            return f'"{node.text[1:].hex()}"'
        case "array":
            return f"[{','.join(json_text(item, taken) for item in node.items)}]"
        case "map":
            return f"{{{','.join(member(key, value, taken) for key, value in node.pairs if id(value) not in taken)}}}"
        case "float":
            return float_text(node.number) if isfinite(node.number) else "null"
    return {"None": "null", "True": "true", "False": "false"}.get(str(node.value), str(node.value))


def member(key: Node, value: Node, taken: frozenset[int]) -> str:
    if key.kind in {"array", "map"}:
        name = key.packed.hex()
    else:
        name = json_text(key).strip('"') if key.kind == "ext" else json_text(key)
        name = name[1:-1] if key.kind in {"str", "bin"} else name
    return f'"{name}":{json_text(value, taken)}'


def value_text(node: Node, *, hexed: bool) -> bytes:
    if node.kind == "bin" and hexed:
        return node.text.hex().encode()
    if node.kind in {"str", "bin"}:
        return node.text
    if node.kind == "ext":
        return node.text[1:].hex().encode()
    return (float_text(node.number) if node.kind == "float" else json_text(node)).encode()


def one_line(text: bytes) -> bytes:
    return re.sub(rb"\r?\n\Z", b"", text)


def needs_quotes(text: bytes) -> bool:
    return not text or bool(re.search(rb'[\x00-\x20\x7f-\xff"=\\]', text))


def map_scalar(tag: bytes, entries: bytes, rules: Rules, now: int, tenant: str) -> tuple[list[Entry], Counter[str]]:
    """What `map_entries` makes of entries, but for lines in parts, tenants from options and very many paths."""
    out: list[Entry] = []
    bad: Counter[str] = Counter()
    group: list[Cell] | None = None
    budget = len(entries)
    at = 0
    while at < len(entries):
        try:
            entry, at = read(entries, at)
        except CannotReadError:
            bad["unreadable"] += 1
            break
        if entry.kind != "array" or len(entry.items) < 2:
            bad["not_an_entry"] += 1
            continue
        time, record = entry.items[:2]
        metadata: Node | None = None
        if time.kind == "array" and time.items:
            metadata = time.items[1] if len(time.items) > 1 else None
            time = time.items[0]
        ts, timing = time_of(time)
        is_map = record.kind == "map" and bool(record.value)
        if timing in {"begin", "end"}:
            group = None
            try:
                if timing == "begin" and is_map:
                    group = cells_of(record, 2)
            except ValueError:
                bad["too_deep"] += 1
            continue
        try:
            cells = cells_of(metadata, 1) if metadata is not None and metadata.kind == "map" else []
            if record.kind == "map":
                cells += cells_of(record, 0)
            elif record.kind in {"nil", "ext"}:
                bad["no_record"] += 1
                continue
            elif nesting(record) > MAX_NESTING:
                raise ValueError
            else:
                cells.append(Cell(0, ("log",), record))
        except ValueError:
            bad["too_deep"] += 1
            continue
        if timing == "bad":
            bad["bad_time"] += 1
        if group is not None:
            budget -= len(group)
            if budget < 0:
                bad["group_too_large"] += 1
            else:
                cells = [Cell(cell.root, cell.keys, cell.node) for cell in group] + cells
        out.append(map_one(tag, cells, record, rules, ts if timing == "time" else now, tenant, bad))
    return out, bad


def map_one(
    tag: bytes, cells: list[Cell], record: Node, rules: Rules, ts: int, tenant: str, bad: Counter[str]
) -> Entry:
    def is_removed(cell: Cell) -> bool:
        return any(cell.root == path.root and cell.keys[: len(path.keys)] == path.keys for path in rules.removed)

    present = [cell for cell in cells if not cell.is_empty]
    labels = dict(rules.constants)
    for name, parts in rules.tag_labels:
        labels[name] = tag_value(tag.decode("utf-8", "replace"), parts)
    for number, (name, sources) in enumerate(zip(rules.labels, rules.sources, strict=True)):
        for source in sources:
            if isinstance(source, str):
                continue
            own = [c for c in present if c.path == source and 0 < len(c.text) <= rules.max_label]
            if own:
                own[-1].taken = not rules.keep_labels
                value = own[-1].text.decode("utf-8", "replace")
                if number == 0 and rules.has_tenant:
                    try:
                        tenant = check_tenant(value)
                    except (BadTenant, NoTenant):
                        bad["no_tenant"] += 1
                else:
                    labels[name] = value
                break
        else:
            labels[name] = next((source for source in sources if isinstance(source, str)), "")
    ranked = [[c for c in present if c.path == path and not is_removed(c)] for path in rules.line_keys]
    line_cell = next((found[-1] for found in ranked if found), None)
    form = LINE_JSON if rules.form == LINE_TEXT and line_cell is None else rules.form
    explicit = {path: name for name, path in rules.metadata}
    explicit |= dict.fromkeys(rules.levels, "detected_level")

    def pairs(form: int) -> list[tuple[str, bytes]]:
        found = []
        for cell in present:
            if is_removed(cell) or cell.taken or not cell.text or (form == LINE_TEXT and cell is line_cell):
                continue
            if not rules.everything and cell.path not in explicit:
                continue
            if cell.root == 0 and form != LINE_TEXT and (form == LINE_WHOLE or cell.path not in explicit):
                continue
            name = explicit.get(cell.path)
            found.append((label_name(name) if name else metadata_name(cell.root, cell.keys), cell.text))
        return found

    found = pairs(form)
    if len(found) > rules.max_pairs or sum(len(value) for _, value in found) > rules.max_bytes:
        form = LINE_WHOLE
        found, size = [], 0
        for title, text in pairs(form):
            if len(found) < rules.max_pairs and size + len(text) <= rules.max_bytes:
                found.append((title, text))
                size += len(text)
            else:
                bad["metadata_cut"] += 1
    for cell in cells:
        if is_removed(cell) or form == LINE_WHOLE:
            cell.taken = is_removed(cell)
        elif cell.path in explicit and form != LINE_TEXT:
            cell.taken |= not cell.is_empty and bool(cell.text)
    metadata = dict(found)
    if rules.tag_metadata and tag:
        metadata[rules.tag_metadata] = tag
    if form == LINE_TEXT:
        assert line_cell is not None
        line = one_line(line_cell.text)
    elif form == LINE_PAIRS:
        left = [cell for cell in cells if cell.root == 0 and not cell.taken]
        line = b" ".join(pair_name(c.keys).encode("utf-8", "replace") + b"=" + pair_value(c) for c in left)
    else:
        line = json_text(record, frozenset(id(cell.node) for cell in cells if cell.taken)).encode()
    return Entry(tenant, ts, tuple(sorted((n, v) for n, v in labels.items() if v)), line, metadata)


def pair_value(cell: Cell) -> bytes:
    if cell.is_empty:
        return b""
    return f'"{inside(cell.text)}"'.encode() if needs_quotes(cell.text) else cell.text
