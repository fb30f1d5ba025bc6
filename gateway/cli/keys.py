"""`weir keys`: who may use a server whose auth.enabled is on.

The keys are in the data directory. No server need run, and one that does sees a change within a second or two.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from gateway.cli.exits import Exit, leave, say
from gateway.cli.files import data_folder, failures
from gateway.cli.options import DataDir
from gateway.cli.output import SECOND, Form, Printer, local_time
from gateway.cli.tables import ListForm, ListOutput, table
from gateway.client import BadArgument
from gateway.client.times import parse_duration, parse_time

if TYPE_CHECKING:
    from storage import KeyRecord, KeyTable

app = typer.Typer(no_args_is_help=True, help="Make, list and end the keys of a server.")

_MOST_TEXT = 200
_LEAST_PREFIX = 3
_FORWARD = "Fluent Forward: user {id}, the key is its password (beside forward.shared_key)"

KeyId = Annotated[
    str,
    typer.Argument(metavar="ID", help="Of the key, or how it begins; the key itself will do.", show_default=False),
]


@app.command("create")
def create(
    description: Annotated[
        str,
        typer.Option("--description", "-d", metavar="TEXT", help="Whose it is, or what for.", show_default=False),
    ],
    scopes: Annotated[
        str,
        typer.Option("--scopes", metavar="SCOPE,...", help="What it may do: push, query, admin."),
    ] = "push,query",
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", metavar="TENANT", help="The only tenant it is for. Else any.", show_default=False),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires",
            metavar="WHEN",
            help="When it ends: a time from now (30d, 12h) or a date (2027-01-31T00:00:00Z). Else never.",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it: once, as only a hash of it is kept.

    The key alone is on standard output, all else on standard error.

    Examples:
    ```
    weir keys create --description "web servers" --scopes push --tenant shop
    weir keys create --description grafana --scopes query --expires 365d
    KEY=$(weir keys create -d "ci" --data-dir /var/lib/weir)
    ```
    """
    with _keys(data_dir, may_make=True) as table:
        from gateway.auth.keys import forward_digest, key_hash, new_id, new_key  # noqa: PLC0415 - brings starlette
        from storage import KeyRecord, KeySecret  # noqa: PLC0415 - brings numba and pyarrow

        now = time.time_ns()
        text = _description(description)
        may = _scopes(scopes)
        whose = _tenant(tenant)
        until = _expiry(expires, now)
        key_id = new_id()
        key = new_key(key_id)
        forward = forward_digest(key_id, key) if "push" in may else b""
        secret = KeySecret(key_hash(key.encode()), forward, now)
        table.add(KeyRecord(key_id, text, may, whose, now, until, secrets=(secret,)))
    Printer(Form.RAW, say).texts([key])
    end = f" until {_clock(until)}" if until else ""
    say(
        f"key {key_id} may {', '.join(may)} for {f'tenant {whose}' if whose else 'any tenant'}{end}; keep it: it is not"
    )
    say("shown again. It is a Bearer token, the password of basic auth (any user), or the value of X-API-Key.")
    if forward:
        say(_FORWARD.format(id=key_id))


@app.command("list")
def list_(
    *,
    output: ListOutput = ListForm.DEFAULT,
    every: Annotated[bool, typer.Option("--all", help="Also those that were revoked or have expired.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Print the keys, oldest first. None of them can be used by what is printed.

    Examples:
    ```
    weir keys list
    weir keys list --all -o jsonl
    ```
    """
    with _keys(data_dir) as table:
        found = table.all()
    now = time.time_ns()
    shown = [key for key in found if every or _state(key, now) in ("good", "rotating")]
    printer = Printer(Form.RAW, say)
    if output is ListForm.JSONL:
        printer.texts((msgspec.json.encode(_told(key, now)).decode() for key in shown), json=True)
    elif shown:
        printer.texts(_table(shown, now))
    if not shown:
        say("there is no key" if not found else "no key is good; --all shows the others")


@app.command("revoke")
def revoke(key_id: KeyId, data_dir: DataDir = None) -> None:
    """End a key at once, and for good.

    Examples:
    ```
    weir keys revoke 7d0kq3mzt9
    weir keys revoke 7d0
    ```
    """
    with _keys(data_dir) as table:
        key = _one(table, key_id)
        table.revoke(key.id, time.time_ns())
    say(f"key {key.id} ({key.description}) is revoked")


@app.command("rotate")
def rotate(
    key_id: KeyId,
    grace: Annotated[
        str,
        typer.Option("--grace", metavar="DURATION", help="How long the old key is good beside the new one."),
    ] = "0",
    data_dir: DataDir = None,
) -> None:
    """Give a key another text and print that; id, scopes, tenant and expiry stay.

    Examples:
    ```
    weir keys rotate 7d0kq3mzt9 --grace 1h
    ```
    """
    with _keys(data_dir) as table:
        from gateway.auth.keys import forward_digest, key_hash, new_key  # noqa: PLC0415 - brings starlette
        from storage import KeySecret  # noqa: PLC0415 - brings numba and pyarrow

        now = time.time_ns()
        length = 0 if grace == "0" else parse_duration(grace)
        old = _one(table, key_id)
        state = _state(old, now)
        if state in ("revoked", "expired"):
            leave(Exit.REFUSED, f"key {old.id} ({old.description}) is {state}: make a new one")
        key = new_key(old.id)
        forward = forward_digest(old.id, key) if "push" in old.scopes else b""
        table.rotate(old.id, KeySecret(key_hash(key.encode()), forward, now), now + length)
    Printer(Form.RAW, say).texts([key])
    until = f"good until {_clock(now + length)}" if length else "not good any more"
    say(f"key {old.id} ({old.description}) has a new text, which is not shown again; the old one is {until}")


@contextmanager
def _keys(data_dir: Any, *, may_make: bool = False) -> Iterator[KeyTable]:
    """The keys of a data directory for the time of the block; what goes wrong ends the command.

    `may_make`: a folder that is no data directory becomes one. Else a slip in its name would read as "no keys".
    """
    with failures("the command"):
        from storage import open_keys  # noqa: PLC0415 - brings numba and pyarrow

        folder = data_folder(data_dir)
        if not any((folder / name).exists() for name in ("origin", "control.db")):
            if not may_make:
                leave(Exit.USAGE, f"{folder} is not a data directory of Weir: it has no file `control.db`")
            say(f"{folder} is made a data directory: no server has used it yet")
        table = open_keys(folder)
        try:
            yield table
        finally:
            table.close()


def _description(text: str) -> str:
    shown = text.strip()
    if not shown or len(shown) > _MOST_TEXT or not shown.isprintable():
        raise BadArgument(f"--description: give up to {_MOST_TEXT} printable characters")
    return shown


def _scopes(text: str) -> tuple[str, ...]:
    from gateway.auth.scopes import GRANTED  # noqa: PLC0415 - brings starlette

    known = [scope.value for scope in GRANTED]
    given = {name.strip() for name in text.split(",") if name.strip()}
    if not given or given - set(known):
        raise BadArgument(f"--scopes {text}: give some of {', '.join(known)}, with commas between")
    return tuple(name for name in known if name in given)


def _tenant(name: str | None) -> str:
    from gateway.auth.tenants import BadTenant, NoTenant, check_tenant  # noqa: PLC0415 - brings starlette

    if name is None:
        return ""
    try:
        return check_tenant(name)
    except (BadTenant, NoTenant) as error:
        raise BadArgument(f"--tenant: {error}") from error


def _expiry(text: str | None, now: int) -> int:
    """ns; 0: never."""
    if text is None:
        return 0
    try:
        until = now + parse_duration(text)
    except BadArgument:
        try:
            until = parse_time(text)
        except BadArgument:
            raise BadArgument(
                f"--expires {text}: give a time from now (30d, 12h) or a date (2027-01-31T00:00:00Z)"
            ) from None
    if not now < until < 1 << 63:
        raise BadArgument(f"--expires {text}: this is not in the time to come")
    return until


def _one(table: KeyTable, given: str) -> KeyRecord:
    """The key that an id, how it begins, or a key itself names."""
    wanted = given.split("_")[1] if given.startswith("weir_") and given.count("_") else given
    found = [key for key in table.all() if key.id.startswith(wanted)] if len(wanted) >= _LEAST_PREFIX else []
    if not found:
        leave(Exit.REFUSED, "there is no such key; weir keys list --all shows all")
    if len(found) > 1:
        leave(Exit.REFUSED, f"{len(found)} keys begin with {wanted}: {', '.join(key.id for key in found[:5])}")
    return found[0]


def _state(key: KeyRecord, now: int) -> str:
    if key.revoked and key.revoked <= now:
        return "revoked"
    if key.expires and key.expires <= now:
        return "expired"
    return "rotating" if any(secret.until > now for secret in key.secrets) else "good"


def _told(key: KeyRecord, now: int) -> dict[str, Any]:
    """As JSON has it: times in ns as text, or null."""
    old = max((secret.until for secret in key.secrets), default=0)
    return {
        "id": key.id,
        "description": key.description,
        "scopes": key.scopes,
        "tenant": key.tenant or None,
        "state": _state(key, now),
        "created": str(key.created),
        "expires": str(key.expires) if key.expires else None,
        "revoked": str(key.revoked) if key.revoked else None,
        "oldGoodUntil": str(old) if old > now else None,
    }


def _table(keys: Sequence[KeyRecord], now: int) -> Iterator[str]:
    head = ("ID", "STATE", "SCOPES", "TENANT", "CREATED", "EXPIRES", "DESCRIPTION")
    rows = [
        (
            key.id,
            _state(key, now),
            ",".join(key.scopes),
            key.tenant or "any",
            _clock(key.created),
            _clock(key.expires) if key.expires else "never",
            key.description,
        )
        for key in keys
    ]
    return table(head, rows)


def _clock(ns: int) -> str:
    return local_time(ns // SECOND * SECOND)
