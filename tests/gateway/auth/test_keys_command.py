"""`weir keys`: what it prints, keeps and refuses."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.auth import KeyRing, Scope
from gateway.cli.app import weir_app
from storage import KeyRecord, open_keys
from tests.gateway.weir_command import weir

DAY = 86_400 * 10**9


def keys(data: Path, *args: str, code: int = 0) -> tuple[str, str]:
    """What a command wrote to standard output and standard error."""
    result = CliRunner().invoke(weir_app(), ["keys", *args, "--data-dir", str(data)])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def kept(data: Path) -> list[KeyRecord]:
    with closing(open_keys(data)) as table:
        return table.all()


def test_a_key_is_made_before_there_is_a_data_directory_and_printed_once(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    key, told = keys(data, "create", "--description", "web servers")
    assert re.fullmatch(r"weir_\w{10}_[-\w]{43}\n", key)
    (record,) = kept(data)
    assert (record.description, record.scopes, record.tenant, record.expires) == (
        "web servers",
        ("push", "query"),
        "",
        0,
    )
    grant = KeyRing([record]).find(key.strip().encode(), time.time_ns())
    assert grant.scopes == {Scope.PUSH, Scope.QUERY}
    assert record.id in told
    assert "not\n" in told
    assert key.strip() not in told
    for file in data.glob("*"):
        assert key.strip().encode() not in file.read_bytes()
    out, _ = keys(data, "list", "--all", "-o", "jsonl")
    assert key.strip().split("_", 2)[2] not in out
    assert record.secrets[0].hash.hex() not in out


def test_what_a_key_is_for_is_kept(tmp_path: Path) -> None:
    before = time.time_ns()
    keys(tmp_path, "create", "-d", "a", "--scopes", "admin, push", "--tenant", "shop", "--expires", "30d")
    keys(tmp_path, "create", "-d", "b", "--scopes", "query", "--expires", "2099-01-31T00:00:00Z")
    first, second = kept(tmp_path)
    assert (first.scopes, first.tenant) == (("push", "admin"), "shop")
    assert 30 * DAY <= first.expires - before < 30 * DAY + 60 * 10**9
    assert second.expires == 4_073_500_800 * 10**9
    assert not second.secrets[0].forward
    assert first.secrets[0].forward


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--description", " "], "printable"),
        (["-d", "x" * 201], "printable"),
        (["-d", "a\nb"], "printable"),
        (["-d", "a", "--scopes", "push,all"], "give some of push, query, admin"),
        (["-d", "a", "--scopes", ""], "give some of push, query, admin"),
        (["-d", "a", "--tenant", "a|b"], "multiple org IDs"),
        (["-d", "a", "--tenant", ""], "no org id"),
        (["-d", "a", "--tenant", "a/b"], "unsupported character"),
        (["-d", "a", "--expires", "soon"], "30d"),
        (["-d", "a", "--expires", "2020-01-01T00:00:00Z"], "not in the time to come"),
        ([], "--description"),
    ],
)
def test_what_cannot_be_made_is_told_and_nothing_is_kept(tmp_path: Path, args: list[str], said: str) -> None:
    _, told = keys(tmp_path, "create", *args, code=2)
    assert said in told
    assert not kept(tmp_path)


def test_the_list_shows_keys_and_with_all_those_that_ended(tmp_path: Path) -> None:
    open_keys(tmp_path).close()
    out, told = keys(tmp_path, "list")
    assert (out, told) == ("", "weir: there is no key\n")
    for name in ("first", "second"):
        keys(tmp_path, "create", "-d", name, "--tenant", "shop")
    first, second = kept(tmp_path)
    keys(tmp_path, "revoke", first.id)
    out, _ = keys(tmp_path, "list")
    head, row = out.splitlines()
    assert head.split() == ["ID", "STATE", "SCOPES", "TENANT", "CREATED", "EXPIRES", "DESCRIPTION"]
    assert row.split()[:4] == [second.id, "good", "push,query", "shop"]
    assert row.split()[5:] == ["never", "second"]
    rows = [json.loads(line) for line in keys(tmp_path, "list", "--all", "-o", "jsonl")[0].splitlines()]
    assert [(each["id"], each["state"]) for each in rows] == [(first.id, "revoked"), (second.id, "good")]
    assert int(rows[0]["revoked"]) == kept(tmp_path)[0].revoked
    assert rows[1]["revoked"] is None
    keys(tmp_path, "revoke", second.id)
    assert keys(tmp_path, "list") == ("", "weir: no key is good; --all shows the others\n")


def test_a_key_is_named_by_its_id_by_how_that_begins_or_by_itself(tmp_path: Path) -> None:
    texts = [keys(tmp_path, "create", "-d", name)[0].strip() for name in "abc"]
    first, _, third = kept(tmp_path)
    keys(tmp_path, "revoke", first.id[:6])
    keys(tmp_path, "revoke", texts[1])
    keys(tmp_path, "revoke", f"weir_{third.id[:8]}_")
    assert all(key.revoked for key in kept(tmp_path))
    for unknown in ("zzzzzzzzzz", first.id[:2], "", first.id + "0"):
        _, told = keys(tmp_path, "revoke", unknown, code=1)
        assert "no such key" in told


def test_a_prefix_of_two_keys_is_refused(tmp_path: Path) -> None:
    with closing(open_keys(tmp_path)) as table:
        for key_id in ("aaaa000001", "aaaa000002"):
            table.add(KeyRecord(key_id, "a", ("push",), "", 1))
    _, told = keys(tmp_path, "revoke", "aaaa", code=1)
    assert "2 keys begin with aaaa: aaaa000001, aaaa000002" in told
    assert not any(key.revoked for key in kept(tmp_path))


def test_rotate_prints_another_text_and_the_old_one_is_good_for_the_grace(tmp_path: Path) -> None:
    old = keys(tmp_path, "create", "-d", "a", "--tenant", "shop")[0].strip()
    (before,) = kept(tmp_path)
    new = keys(tmp_path, "rotate", before.id, "--grace", "1h")[0].strip()
    (after,) = kept(tmp_path)
    now = time.time_ns()
    ring = KeyRing([after])
    assert ring.find(new.encode(), now).tenant == ring.find(old.encode(), now).tenant == "shop"
    assert ring.find(new.encode(), now + DAY)
    assert not ring.is_good(ring.find(old.encode(), now), now + DAY)
    assert json.loads(keys(tmp_path, "list", "-o", "jsonl")[0])["state"] == "rotating"
    newer = keys(tmp_path, "rotate", before.id)[0].strip()
    ring = KeyRing(kept(tmp_path))
    now = time.time_ns()
    assert ring.count(now) == 1
    assert ring.find(newer.encode(), now).scopes == {Scope.PUSH, Scope.QUERY}
    assert ring.find_sender(before.id.encode(), after.secrets[0].forward, now) is None
    keys(tmp_path, "rotate", before.id, "--grace", "soon", code=2)
    keys(tmp_path, "revoke", before.id)
    _, told = keys(tmp_path, "rotate", before.id, code=1)
    assert "is revoked: make a new one" in told


@pytest.mark.parametrize("command", [["list"], ["revoke", "abc"], ["rotate", "abc"]])
def test_only_create_makes_a_data_directory(tmp_path: Path, command: list[str]) -> None:
    data = tmp_path / "misspelt"
    _, told = keys(data, *command, code=2)
    assert told == f"weir: {data} is not a data directory of Weir: it has no file `control.db`\n"
    assert not data.exists()
    _, told = keys(data, "create", "-d", "ci")
    assert told.startswith(f"weir: {data} is made a data directory: no server has used it yet\n")


def test_the_command_itself(tmp_path: Path) -> None:
    made = weir("keys", "create", "-d", "ci", env={"WEIR_DATA_DIR": str(tmp_path / "data"), "WEIR_KEY": "unused"})
    assert made.returncode == 0, made.stderr
    assert len(made.stdout.splitlines()) == 1
    (tmp_path / "file").write_text("")
    refused = weir("keys", "create", "-d", "ci", "--data-dir", str(tmp_path / "file" / "data"))
    assert refused.returncode == 1
    assert "cannot be made" in refused.stderr
