"""Hours in short: pushes, queries, compaction, deletes, retention and kills at once, at a real server.

Every answer is checked as it comes (soak_tenant.py); at the end every line is, and what was deleted is in no file.
Memory, files and the log are watched all the time.
"""

from __future__ import annotations

import os
import re
import statistics
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from storage.verify import verify
from tests.crash.soak_model import HOUR, SECOND, dead_lines
from tests.crash.soak_tenant import DAYS_LATE, Client, Habits, Life, Tenant
from tests.server import ServerProcess, wait_until

CONFIG = """
tenancy: {{enabled: true}}
server: {{keep_alive: 1h}}
memtable: {{size: {memtable}, small_tenant: 32KB}}
wal: {{segment_size: {memtable}}}
deletes: {{cancel_period: {cancel}}}
query: {{result_cache_bytes: 16MB}}
limits:
  retention_stream: [{{selector: '{{stay="short"}}', period: 1h, priority: 1}}]
overrides:
  brief: {{retention_period: 1h}}
"""
SETTLES = 900.0
"""Seconds in which compaction and deletes have to come to an end: it takes one, but of the time that others leave."""
LIMIT_MB = 500
"""Of the server's memory at any time."""
GROWTH, SPARE_MB = 1.1, 16
"""The median of the last third is at most so many times that of the middle one, and so many MB: an hour's lines and
deletes make their lists longer, and the caches of queries fill up."""
BLOCKS_A_DAY = 40
"""Blocks of a tenant's day: compaction leaves up to four of each size, each four times the one before, and flushes
come while it works."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done.

    Attributes:
        seconds: of pushing.
        rate: lines a second, of all tenants.
        memtable: its size, as a setting.
        deletes: of a tenant's requests, which part are deletes.
        cancel: deletes.cancel_period, as a setting.
        ahead: seconds that entries of streams that expire have left, at most.
        kills: when the server is killed and started again, as parts of the time; none in the last two thirds, of which
            the memory is compared.
        progress: seconds from one line about it to the next.
    """

    seconds: float
    rate: float
    memtable: str
    deletes: float
    cancel: str
    ahead: float
    kills: tuple[float, ...]
    progress: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What the server takes at a moment."""

    at: float
    rss_mb: float
    blocks: int
    most_of_a_day: int
    block_mb: float
    wal_mb: float
    files: int
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.rss_mb:.0f} MB, {self.blocks} blocks of {self.block_mb:.1f} MB, at most {self.most_of_a_day} of a "
            f"day, log {self.wal_mb:.1f} MB, {self.files} open files, {self.threads} threads"
        )


def sample(server: ServerProcess) -> Sample:
    status = Path(f"/proc/{server.pid}/status").read_text()
    found = {name: int(value) for name, value in re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE)}
    blocks, days = 0, Counter[Path]()
    for path in server.data_dir.glob("blocks/*/*/*.parquet"):
        blocks += _size(path)
        days[path.parent] += 1
    return Sample(
        at=time.monotonic(),
        rss_mb=found["VmRSS"] / 1024,
        blocks=days.total(),
        most_of_a_day=max(days.values(), default=0),
        block_mb=blocks / (1 << 20),
        wal_mb=sum(_size(path) for path in server.data_dir.glob("wal/*.wal")) / (1 << 20),
        files=sum(1 for _ in Path(f"/proc/{server.pid}/fd").iterdir()),
        threads=found["Threads"],
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # the server removes and renames files as we look
        return 0


class Watcher:
    """Asks what dashboards ask, of all tenants, all the time."""

    def __init__(self, life: Life, tenants: list[Tenant]) -> None:
        self.faults: list[str] = []
        self.asked = 0
        self._life = life
        self._tenants = tenants
        self._clients = {tenant.name: Client(life, tenant.name) for tenant in tenants}
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(120)

    def _run(self) -> None:
        try:
            while not self._life.stop.wait(0.1):
                for tenant in self._tenants:
                    self._look(self._clients[tenant.name], tenant)
        except BaseException as error:  # noqa: BLE001 - the test shows it, and ends the run
            self.faults.append(f"watcher: {type(error).__name__}: {error}")
        finally:
            for client in self._clients.values():
                client.close()

    def _look(self, client: Client, tenant: Tenant) -> None:
        now = time.time_ns()
        span = {"start": now - 2 * HOUR, "end": now + SECOND}
        client.get("query_range", query='sum by (app) (rate({job="soak"} |= "secret" [1m]))', step="30s", **span)
        client.get("query_range", query='topk(3, sum by (s) (bytes_over_time({job="soak"}[5m])))', step="5m", **span)
        client.get("query_range", query='{job="soak"} |~ "s1[0-9] .*common"', limit=200, **span)
        client.get("labels", **span)
        client.get("series", **{"match[]": '{app="app1"}'}, **span)
        client.get("index/stats", query='{job="soak"}', **span)
        # Of what is neither deleted nor expires, no reader may see less than was there, nor more than was sent.
        if not tenant.habits.deletes:
            query = f'sum(count_over_time({{job="soak", stay="long"}}[{(DAYS_LATE + 1) * 24}h]))'
            long = [stream for stream in tenant.streams if not stream.period]
            least = sum(stream.acknowledged for stream in long)
            found = client.get("query", query=query, time=time.time_ns() + SECOND)["data"]["result"]
            count = int(found[0]["value"][1]) if found else 0
            assert least <= count <= sum(map(len, long)), f"{tenant.name}: {count}, acknowledged were {least}"
        self.asked += 7


def test_everything_at_once(tmp_path: Path) -> None:
    _soak(tmp_path, Plan(5, 600, "256KB", 0.1, "1s", 6, (0.3,), 2), seed=9)


@pytest.mark.soak
def test_everything_at_once_for_an_hour(tmp_path: Path) -> None:
    minutes = float(os.environ.get("WEIR_SOAK_MINUTES", "60"))
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}", flush=True)
    _soak(tmp_path, Plan(60 * minutes, 300, "2MB", 0.01, "10s", 60, (0.08, 0.16, 0.3), 60), seed)


def _soak(folder: Path, plan: Plan, seed: int) -> None:
    config = folder / "weir.yml"
    config.write_text(CONFIG.format(memtable=plan.memtable, cancel=plan.cancel))
    life = Life(ServerProcess(folder / "data", "--config", str(config), fresh=True))
    each = plan.rate / 4
    habits = {
        "steady": Habits(each, plan.ahead, deletes=0.0),
        "mixed": Habits(each, plan.ahead, plan.deletes),
        "other": Habits(each, plan.ahead, plan.deletes),
        "brief": Habits(each, plan.ahead, plan.deletes, all_short=True),
    }
    tenants = [Tenant(name, life, some, Random(f"{seed} {name}")) for name, some in habits.items()]
    with ExitStack() as stack:
        stack.enter_context(life.server)
        for tenant in tenants:
            stack.callback(tenant.client.close)
        samples = _run(life, tenants, plan)
        _settle(life, tenants)
        for when in ("at the end", "flushed", "killed and started"):
            if when == "flushed":
                assert tenants[0].client.ask("POST", "/flush").status == 204
            elif when == "killed and started":
                life.kill()
                life.start()
            there = {tenant.name: tenant.check_everything() for tenant in tenants}
            print(f"{when}: {there} lines are there, each once", flush=True)
        _expire(tenants)
        assert life.server.stop() == 0
        _check_log(life.server)
    _check_files(life.server.data_dir, tenants)
    _check_samples(samples, plan)


def _run(life: Life, tenants: list[Tenant], plan: Plan) -> list[Sample]:
    """Lets all go on for the time planned; samples of the server since the last kill."""
    life.up.set()
    began = time.monotonic()
    watcher = Watcher(life, tenants)
    for tenant in tenants:
        tenant.start()
    samples: list[Sample] = []
    kills, told = [part * plan.seconds for part in plan.kills], 0.0
    try:
        while (now := time.monotonic() - began) < plan.seconds:
            assert not (faults := [*watcher.faults, *(fault for tenant in tenants for fault in tenant.faults)]), faults
            if kills and now >= kills[0]:
                kills.pop(0)
                _check_log(life.server)
                life.kill()
                life.start()
                samples.clear()
                began = time.monotonic() - now  # a start is no time of pushing
            samples.append(sample(life.server))
            if now >= told:
                told += plan.progress
                print(f"{now:.0f} s: {_done(tenants)}, {watcher.asked} other queries; {samples[-1]}", flush=True)
            time.sleep(min(1.0, plan.seconds / 20))
    finally:
        life.stop.set()
        watcher.join()
        for tenant in tenants:
            tenant.join()
    assert not (faults := [*watcher.faults, *(fault for tenant in tenants for fault in tenant.faults)]), faults
    print(f"{time.monotonic() - began:.0f} s: {_done(tenants)}, {watcher.asked} other queries", flush=True)
    # The test did its work.
    assert life.number == len(plan.kills)
    assert all(tenant.done.pushes and bool(tenant.done.deletes) == bool(tenant.habits.deletes) for tenant in tenants)
    return samples


def _done(tenants: list[Tenant]) -> str:
    total = Counter[str]()
    for tenant in tenants:
        done = tenant.done
        total += Counter({name: getattr(done, name) for name in done.__slots__})
    return (
        f"{total['lines']} lines and {total['again']} again in {total['pushes']} pushes, {total['checks']} checks, "
        f"{total['deletes']} deletes, {total['cancels']} called off"
    )


def _settle(life: Life, tenants: list[Tenant]) -> None:
    """Waits until compaction has nothing left to do and all deletes are done."""
    began = time.monotonic()

    def idle() -> bool:
        assert tenants[0].client.ask("POST", "/flush").status == 204  # the log has deleted lines
        page = tenants[0].client.ask("GET", "/metrics").text
        pending = re.search(r"^weir_compaction_pending_blocks (\S+)", page, re.MULTILINE)
        assert pending is not None
        return not float(pending[1]) and not any(tenant.open_deletes() for tenant in tenants)

    while not idle():
        assert time.monotonic() < began + SETTLES, [tenant.open_deletes() for tenant in tenants]
        time.sleep(0.2)
    print(f"all is compacted and deleted {time.monotonic() - began:.1f} s after: {sample(life.server)}", flush=True)


def _expire(tenants: list[Tenant]) -> None:
    """The tenant of which everything expires has no file in the end."""
    (brief,) = [tenant for tenant in tenants if tenant.habits.all_short]
    folder = brief.life.server.data_dir / "blocks" / brief.name
    began = time.monotonic()
    assert wait_until(lambda: not list(folder.glob("*/*.parquet")), brief.habits.ahead + 60), list(folder.rglob("*"))
    assert brief.check_everything() == 0
    print(f"what has expired is off the disk {time.monotonic() - began:.1f} s later", flush=True)


def _check_log(server: ServerProcess) -> None:
    for fault in ("Traceback", "level=error", "is no record", "are lost", "set aside"):
        assert fault not in server.log_text, server.log_text[-4000:]


def _check_files(data_dir: Path, tenants: list[Tenant]) -> None:
    """No file is damaged or left over, and none has a deleted line."""
    found = verify(data_dir, rebuild=False, report=lambda _: None)
    assert not found.problems
    assert not [path for path in data_dir.rglob("*") if path.suffix == ".tmp" or path.parent.name == "quarantine"]
    for tenant in tenants:
        dead = dead_lines(tenant.streams)
        for path in data_dir.glob(f"blocks/{tenant.name}/*/*.parquet"):
            lines = pq.read_table(path, columns=["line"])["line"].to_pylist()
            left = dead.intersection(line.decode() for line in lines)
            assert not left, f"{path} has {len(left)} deleted lines, as {min(left)}"


def _check_samples(samples: list[Sample], plan: Plan) -> None:
    assert max(each.rss_mb for each in samples) < LIMIT_MB
    assert max(each.most_of_a_day for each in samples) <= BLOCKS_A_DAY
    # Blocks that are read stay open: in an hour's run there were some two files a block, and 20 others.
    assert all(each.files <= 3 * each.blocks + 100 for each in samples)
    begin = samples[-1].at - plan.seconds * 2 / 3
    if samples[0].at > begin + 60 or plan.seconds < 600:
        return  # too short to tell
    middle, last = (
        statistics.median(each.rss_mb for each in samples if low <= (each.at - begin) / plan.seconds * 3 < high)
        for low, high in ((0, 1), (1, 2.1))
    )
    print(f"memory: median of the middle third {middle:.0f} MB, of the last {last:.0f} MB", flush=True)
    assert last <= GROWTH * middle + SPARE_MB
