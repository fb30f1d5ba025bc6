"""Files that grow, appear, are renamed, cut, copied and packed; and what is known of them after a restart."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest

from gateway.client.errors import BadArgument
from gateway.collect.delivery import Again, Taken, TooLarge
from gateway.collect.making import collector_of
from gateway.collect.positions import read_positions
from tests.gateway.collect.watched import Server, collecting, settings
from tests.server import wait_until

LONG = "x" * 100


def write(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def many(name: str, count: int = 30) -> list[str]:
    return [f"{name} {number} {LONG}" for number in range(count)]


def test_a_file_that_grows_and_files_that_appear(tmp_path: Path) -> None:
    server = Server()
    write(tmp_path / "a.log", "one")
    with collecting(tmp_path / "state", server, settings(tmp_path / "**" / "*.log", labels={"app": "x"})) as collector:
        assert server.has("one")
        write(tmp_path / "a.log", "two", "", "one")
        (tmp_path / "deep" / "er").mkdir(parents=True)
        write(tmp_path / "deep" / "er" / "b.log", "three")
        write(tmp_path / "deep" / "er" / "c.txt", "no")
        assert server.has("one", "two", "one", "three")
        with (tmp_path / "a.log").open("a") as file:
            file.write("no newline")
        assert wait_until(lambda: collector.figures.backlog == len("no newline"))
        assert wait_until(lambda: collector.figures.files == 2)
    labels = sorted(server.streams)
    assert f'filename="{tmp_path}/a.log"' in labels[0]
    assert 'app="x"' in labels[0]
    assert 'job="collect"' in labels[0]


def test_a_renamed_file_is_read_to_its_end_under_its_first_name(tmp_path: Path) -> None:
    server, log = Server(), tmp_path / "app.log"
    write(log, "one")
    with collecting(tmp_path / "state", server, settings(log)):
        assert server.has("one")
        log.rename(tmp_path / "moved")
        write(tmp_path / "moved", "two")
        write(log, "three")
        with (tmp_path / "moved").open("a") as file:
            file.write("last")
        assert server.has("one", "two", "three", "last")
        (tmp_path / "moved").unlink()
    assert len(server.streams) == 1


@pytest.mark.parametrize("is_down", [False, True])
def test_what_was_not_read_of_a_file_that_was_cut_is_read_from_its_copy(tmp_path: Path, is_down: bool) -> None:
    server, log, state = Server(), tmp_path / "app.log", tmp_path / "state"
    first, second = many("first"), many("second")
    write(log, *first)
    how = settings(tmp_path / "app.log*")
    with collecting(state, server, how):
        assert server.has(*first)
        if not is_down:
            shutil.copyfile(log, tmp_path / "app.log.1")
            log.write_text("")
            write(log, *second)
            assert server.has(*first, *second)
    if is_down:
        write(log, "unread")
        shutil.copyfile(log, tmp_path / "app.log.1")
        log.write_text("")
        write(log, *second)
        with collecting(state, server, how):
            assert server.has(*first, "unread", *second)


def test_a_file_that_was_cut_and_has_grown_past_its_position_is_noticed(tmp_path: Path) -> None:
    server, log, state = Server(), tmp_path / "app.log", tmp_path / "state"
    write(log, "one", "two")
    with collecting(state, server, settings(log)):
        assert server.has("one", "two")
    log.write_text("")
    write(log, "three", "four", "five")
    with collecting(state, server, settings(log)):
        assert server.has("one", "two", "three", "four", "five")


@pytest.mark.parametrize("unread", [[], ["unread"]])
def test_the_packed_form_of_a_known_file_is_not_read_again(tmp_path: Path, unread: list[str]) -> None:
    server, log, state = Server(), tmp_path / "app.log", tmp_path / "state"
    lines = many("line")
    write(log, *lines)
    how = settings(tmp_path / "app.log*")
    with collecting(state, server, how):
        assert server.has(*lines)
    write(log, *unread)
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    write(log, "new")
    with collecting(state, server, how):
        assert server.has(*lines, *unread, "new")
        (tmp_path / "old.log.gz").write_bytes(b"")
    with collecting(state, server, how, once=True) as collector:
        assert collector.figures.lines == 0


def test_packed_files_are_read_once_and_broken_ones_as_far_as_they_go(tmp_path: Path) -> None:
    server, state = Server(), tmp_path / "state"
    whole = gzip.compress("".join(f"{line}\n" for line in many("old", 2000)).encode())
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two"))
    (tmp_path / "b.gz").write_bytes(whole[: len(whole) // 2])
    how = settings(tmp_path / "*.gz")
    with collecting(state, server, how) as collector:
        assert wait_until(lambda: server.lines["one"] == 1 and server.lines["two"] == 1)
        assert wait_until(lambda: collector.figures.errors == 1)
        (tmp_path / "b.gz").write_bytes(whole)
        assert server.has("one", "two", *many("old", 2000))
    with collecting(state, server, how, once=True) as collector:
        assert collector.figures.lines == 0


def test_only_what_comes_is_read_where_that_is_asked_for(tmp_path: Path) -> None:
    server, log, state = Server(), tmp_path / "app.log", tmp_path / "state"
    write(log, "before")
    with collecting(state, server, settings(log, start="end")) as collector:
        assert wait_until(lambda: collector.figures.files == 1)
        write(log, "after")
        assert server.has("after")
    write(log, "between")
    with collecting(state, server, settings(log, start="end")):
        assert server.has("after", "between")


def test_a_record_of_several_lines_ends_when_nothing_comes_behind_it(tmp_path: Path) -> None:
    server, log = Server(), tmp_path / "app.log"
    log.write_text("2026 a\n  at x\n")
    with collecting(tmp_path / "state", server, settings(log, multiline=r"\d{4}")):
        assert server.has("2026 a\n  at x")


def test_a_line_that_is_too_long_is_cut(tmp_path: Path) -> None:
    server, log = Server(), tmp_path / "app.log"
    log.write_text("y" * (1 << 20) + "z\nnext\n")
    with collecting(tmp_path / "state", server, settings(log, batch_size=1000), once=True):
        assert server.lines == {"y" * (1 << 20): 1, "z": 1, "next": 1}


def test_a_batch_without_an_answer_is_sent_by_the_next_collector_as_it_was(tmp_path: Path) -> None:
    server, log, state = Server(), tmp_path / "app.log", tmp_path / "state"
    write(log, "one")
    away = Server(answers=[Again("unreachable", "away", 30.0)])
    with collecting(state, away, settings(log)) as collector:
        assert wait_until(lambda: collector.figures.retries["unreachable"] == 1)
        write(log, "two")
        collector.stop()
    log.unlink()
    with collecting(state, server, settings(log, labels={"other": "labels"}), once=True):
        assert server.lines["one"] == 1
    assert all("other" not in labels for labels in server.streams)
    assert not list((state / "batches").iterdir())


def test_a_batch_that_is_too_large_is_sent_in_halves_and_refused_lines_are_counted(tmp_path: Path) -> None:
    server, log = Server(answers=[TooLarge("413"), TooLarge("413"), Taken(1, "no")]), tmp_path / "app.log"
    write(log, "one", "two", "three", "four")
    with collecting(tmp_path / "state", server, settings(log), once=True) as collector:
        assert server.lines == {"two": 1, "three": 1, "four": 1}
        assert collector.figures.refused == 1
    assert len(set(server.ids)) == 2


def test_a_half_written_batch_is_dropped_and_its_lines_are_read_again(tmp_path: Path) -> None:
    server, log, state = Server(), tmp_path / "app.log", tmp_path / "state"
    write(log, "one")
    away = Server(answers=[Again("unreachable", "away", 30.0)])
    with collecting(state, away, settings(log)) as collector:
        assert wait_until(lambda: collector.figures.retries["unreachable"] == 1)
        collector.stop()
    (batch,) = (state / "batches").iterdir()
    batch.write_bytes(batch.read_bytes()[:-1])
    with collecting(state, server, settings(log), once=True):
        assert server.lines == {"one": 1}
    (position,) = read_positions(state).files
    assert (position.path, position.print.offset) == (str(log), 4)


def test_one_collector_a_state(tmp_path: Path) -> None:
    state, how = tmp_path / "state", settings(tmp_path / "x")
    with collecting(state, Server(), how) as first:
        assert wait_until(lambda: first.figures.running)
        second = collector_of(how, state, Server)
        with pytest.raises(BadArgument, match="another collector"):
            second.run()


def test_sources_have_labels_and_forms_of_their_own(tmp_path: Path) -> None:
    server = Server()
    write(tmp_path / "a.log", '{"log":"said\\n","stream":"stderr","time":"2026-11-22T19:40:00Z"}')
    write(tmp_path / "b.log", '{"log":"said\\n","stream":"stderr","time":"2026-11-22T19:40:00Z"}')
    sources = [{"paths": [f"{tmp_path}/b.*"], "format": "text", "labels": {"app": "b", "host": ""}}]
    how = settings(tmp_path / "*.log", sources=sources, filename_label="")
    with collecting(tmp_path / "state", server, how, once=True):
        pass
    first, second = sorted(server.streams)
    assert first == '{app="b", job="collect"}'
    assert server.streams[first] == ['{"log":"said\\n","stream":"stderr","time":"2026-11-22T19:40:00Z"}']
    assert second.endswith('job="collect", stream="stderr"}')
    assert server.streams[second] == ["said"]


def test_a_file_that_has_the_inode_of_one_that_is_gone_is_another(tmp_path: Path) -> None:
    server, log, state = Server(), tmp_path / "app.log", tmp_path / "state"
    lines = many("line")
    write(log, *lines)
    how = settings(tmp_path / "app.log*")
    with collecting(state, server, how, once=True):
        assert server.has(*lines)
    # As where the file system gives a freed inode to the next file.
    packed = gzip.compress("".join(f"{line}\n" for line in many("other")).encode())
    log.rename(tmp_path / "app.log.2.gz")
    (tmp_path / "app.log.2.gz").write_bytes(packed)
    write(log, "new")
    with collecting(state, server, how):
        assert server.has(*lines, *many("other"), "new")
