"""Runs on a PostgreSQL server: through cuts and restarts, of several ranks, in partitions, and with wrong URLs."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.collector.test_writing import PROCESS, RUN, stored, unit
from tests.support import environment, read, until
from umlaut_async import ArgumentError, Benchmark, BenchmarkSupervisor, MemoryMetric, StoreConnectionError, StoreError
from umlaut_async.cli import main
from umlaut_async.collector import statements
from umlaut_async.collector import writer as writer_module
from umlaut_async.collector.account import Ledger
from umlaut_async.collector.beginning import open_writer
from umlaut_async.collector.launchers import rank
from umlaut_async.collector.link import Link
from umlaut_async.collector.series import Series
from umlaut_async.probes import Probe
from umlaut_async.store import failures, patience, queries, run_queries
from umlaut_async.store.chunks import BLOCK
from umlaut_async.store.engine import open_store, transaction, was_committed
from umlaut_async.store.location import resolve
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from tests.postgres import Proxy, Server
    from tests.support import Rows

BATCHES, SAMPLES, UNITS = 6, 1500, 40


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """Yield a proxy before the server."""
    from tests.postgres import Proxy

    proxy = Proxy(server)
    yield proxy
    proxy.close()


async def write(url: str, proxy: Proxy | None = None, cuts: tuple[Callable[[], None], ...] = ()) -> int:
    """Store some batches, and return how many bytes that took; for each a cut may be prepared."""
    ledger, refusals = Ledger(), list[Exception]()
    writer, process_id = await open_writer(
        resolve(url),
        replacing=None,
        run=RUN,
        process=PROCESS,
        ledger=ledger,
        refused=lambda count, error: refusals.append(error),
    )
    series = Series(Link(), 1, "kind", "unit", "words", Probe("key", float, "test"), 1_000_000)
    writer.add_series(process_id, series)
    before, left = proxy.passed if proxy else 0, list(cuts)
    for batch in range(BATCHES):
        if proxy and left:
            left.pop()()
        for number in range(batch * UNITS, (batch + 1) * UNITS):
            writer.add(unit(number))
        ledger.take(UNITS)
        for t in range(batch * SAMPLES + 1, (batch + 1) * SAMPLES + 1):
            series.log.insert(t, t + 0.5)
        await writer.write(1, [], True)
    await writer.close()
    if proxy:
        proxy.cut_no_more()
    assert refusals == []
    account = ledger.account()
    assert (account.stored, account.dropped, account.in_flight) == (BATCHES * UNITS, {}, 0)
    return proxy.passed - before if proxy else 0


def check_all_is_there_once(server: Server) -> None:
    """Check what `write` has stored."""
    assert [row["value"] for row in server.read("select value from result order by id")] == [*range(BATCHES * UNITS)]
    assert stored(server.read) == [(t, t + 0.5) for t in range(1, BATCHES * SAMPLES + 1)]
    blocks = BATCHES * SAMPLES // BLOCK
    assert server.read("select count(*) as n from chunk") == [{"n": blocks}]
    assert server.read("select count(*) as n from series") == [{"n": 1}]


@pytest.mark.timeout(600)
async def test_a_connection_that_is_cut_at_any_byte_loses_nothing_and_doubles_nothing(
    server: Server, proxy: Proxy, soak: bool
) -> None:
    size = await write(proxy.url(), proxy)
    check_all_is_there_once(server)
    chance, cuts = random.Random(5), 0
    for _ in range(60 if soak else 8):
        server.clear()
        # Most of the bytes are rows, but most of what can go wrong is in what follows them.
        several = [partial(proxy.cut_after, chance.randrange(1, size // BATCHES)) for _ in range(2)]
        several += [partial(proxy.cut_after, chance.randrange(1, 400)) for _ in range(2)]
        several += [partial(proxy.cut_at_commit, chance) for _ in range(2)]
        chance.shuffle(several)
        before = proxy.cuts
        await write(proxy.url(), proxy, tuple(several))
        cuts += proxy.cuts - before
        check_all_is_there_once(server)
    assert cuts >= (200 if soak else 25)


@pytest.mark.parametrize("reply", [True, False])
async def test_a_commit_whose_answer_is_lost_is_asked_for(
    server: Server, proxy: Proxy, reply: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 1.0)
    engine = await open_store(resolve(proxy.url()))
    server.execute("create table mark (n int)")
    with pytest.raises(failures.CommitUnknownError) as caught:
        async with transaction(engine) as session:
            connection = await session.connection()
            await connection.exec_driver_sql("insert into mark values (1)")
            raw: Any = (await connection.get_raw_connection()).driver_connection
            if reply:
                # What the server does with the transaction nobody hears.
                await raw.execute("commit")
            proxy.refuse(True)
    assert server.read("select count(*) as n from mark") == [{"n": int(reply)}]
    with pytest.raises(StoreConnectionError):
        await was_committed(engine, caught.value.transaction)
    proxy.refuse(False)
    assert await was_committed(engine, caught.value.transaction) == reply
    await engine.dispose()


@pytest.mark.alone
@pytest.mark.parametrize("reply", [True, False])
async def test_a_writer_that_learns_late_what_was_committed_goes_on(
    server: Server, proxy: Proxy, reply: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.5)
    ledger = Ledger()
    writer, process_id = await open_writer(
        resolve(proxy.url()), replacing=None, run=RUN, process=PROCESS, ledger=ledger, refused=lambda *_: None
    )
    series = Series(Link(), 1, "kind", "unit", "words", Probe("key", float, "test"), 1_000_000)
    writer.add_series(process_id, series)

    async def commit_and_lose(session: Any, run_uuid: str, units: Any, rest: Any) -> None:
        await statements.store(session, run_uuid, units, rest)
        raw: Any = (await (await session.connection()).get_raw_connection()).driver_connection
        if reply:
            await raw.execute("commit")
        proxy.refuse(True)

    for t in range(1, 3001):
        series.log.insert(t, t + 0.5)
    writer.add(unit(0))
    ledger.take(1)
    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "store", commit_and_lose)
        with pytest.raises(StoreConnectionError):
            await writer.write(1, [], True)
    with pytest.raises(StoreConnectionError):
        await writer.write(1, [], True)
    proxy.refuse(False)
    series.log.insert(3001, 3001.5)
    for t in range(3002, 5000):
        series.log.insert(t, t + 0.5)
    writer.add(unit(1))
    ledger.take(1)
    await writer.write(1, [], True)
    await writer.close()
    assert stored(server.read) == [(t, t + 0.5) for t in range(1, 5000)]
    assert [row["value"] for row in server.read("select value from result order by id")] == [0, 1]
    assert (ledger.account().stored, ledger.account().in_flight) == (2, 0)


@pytest.mark.alone
async def test_what_is_done_together_waits_once_for_a_server_and_a_heartbeat_never(
    server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.8)
    writer, _ = await open_writer(
        resolve(proxy.url()), replacing=None, run=RUN, process=PROCESS, ledger=Ledger(), refused=lambda *_: None
    )
    tries = []
    proxy.refuse(True)

    async def attempt(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        before = proxy.refused
        with suppress(StoreConnectionError):
            await work()
        tries.append(proxy.refused - before)

    async def round_of_work() -> None:
        for _ in range(2):
            await attempt(lambda: writer.write(1, [], True))
            await attempt(lambda: writer.leave(1, 1, "exit", None))

    for _ in range(2):
        await attempt(lambda: writer.beat(1))
    # The first is about a connection that was cut.
    assert max(tries) <= 1
    tries.clear()
    for _ in range(2):
        await patience.patiently(round_of_work())
    assert [count > 1 for count in tries] == [True, False, False, False] * 2
    proxy.refuse(False)
    await writer.write(1, [], True)
    await writer.close()


def test_successes_end_a_wait_and_leave_the_rest_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: moment)
    wait = patience.Patience(10)
    for begins, lasts in ((100, [0, 6]), (200, [0, 3])):
        for passed in lasts:
            moment = begins + passed
            assert wait.lasts()
        wait.succeeded()
    moment = 300
    assert wait.lasts()
    moment = 301
    assert not wait.lasts()


@pytest.mark.parametrize("how", ["fast", "immediate"])
async def test_a_server_that_is_away_for_some_seconds_loses_nothing(
    server: Server, how: str, soak: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "umlaut_async")
    away = 5 if soak or how == "fast" else 2
    async with Benchmark(server.url(), flush_interval=0.1) as benchmark:

        @BenchmarkSupervisor([MemoryMetric("memory", interval=0.01)], benchmark)
        async def stage(number: int) -> None:
            benchmark.log("number", "counted", number)
            await asyncio.sleep(0.005)

        number = 0

        async def record(seconds: float) -> None:
            nonlocal number
            end = asyncio.get_running_loop().time() + seconds
            while asyncio.get_running_loop().time() < end:
                await stage(number)
                number += 1

        await record(0.5)
        await asyncio.to_thread(server.stop, how)
        try:
            waiting = asyncio.create_task(benchmark.flush())
            await record(away)
            assert not waiting.done()
        finally:
            await asyncio.to_thread(server.start)
        await waiting
        await record(0.5)
    account = benchmark.accounting
    assert (account.stored, account.dropped, account.in_flight) == (2 * number, {}, 0)
    counted = server.read("select value from result where type = 'counted' order by id")
    assert [row["value"] for row in counted] == [*range(number)]
    assert server.read("select status, count(*) as n from span group by status") == [{"status": "ok", "n": number}]
    doubled = "select 1 from (select series_id, t from sample union all select series_id, t0 from chunk) as s"
    assert server.read(f"{doubled} group by series_id, t having count(*) > 1") == []
    assert server.read("select status from run") == [{"status": "ok"}]
    said = [record.getMessage() for record in caplog.records]
    assert any("cannot be reached at present, so what is recorded waits" in line for line in said)


RANK = """
import asyncio, os, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

async def main():
    async with Benchmark(sys.argv[1], mode=sys.argv[3], collector=(*sys.argv, "thread")[4]) as benchmark:
        @BenchmarkSupervisor([TimeMetric("time")], benchmark)
        async def step(number):
            await asyncio.sleep(0.01)
        for number in range(100):
            await step(number)
            benchmark.log("loss", "loss", number)
        await benchmark.flush()
        print("flushed", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        if sys.argv[2] == "fails":
            raise SystemExit(3)

asyncio.run(main())
"""


@pytest.mark.parametrize("fails", [False, True])
def test_the_ranks_of_a_job_write_one_run(anywhere: Any, fails: bool) -> None:
    ranks = []
    for number, name in enumerate(("RANK", "SLURM_PROCID")):
        variables = environment() | {name: str(number), "UMLAUT_RUN": "job 17"}
        how = "fails" if fails and number == 0 else "ends"
        ranks.append(
            subprocess.Popen(
                [sys.executable, "-c", RANK, anywhere.db_file, how, "a"],
                env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    for each in ranks:
        assert each.stdout is not None
        assert each.stdout.readline() == "flushed\n"
    assert anywhere.read("select uuid, status, ended from run") == [
        {"uuid": "job 17", "status": "running", "ended": None}
    ]
    _, errors = ranks[0].communicate("\n", timeout=30)
    assert (ranks[0].returncode, errors) == (3 if fails else 0, "")
    assert anywhere.read("select status, ended from run") == [{"status": "running", "ended": None}]
    assert [row["ended"] is None for row in anywhere.read("select ended from process order by rank")] == [False, True]
    _, errors = ranks[1].communicate("\n", timeout=30)
    assert (ranks[1].returncode, errors) == (0, "")
    (run,) = anywhere.read("select status, ended, collector as data from run")
    assert (run["status"], run["ended"] is None) == ("error" if fails else "ok", False)
    assert (run["data"]["recorded"], run["data"]["stored"], run["data"]["dropped"]) == (400, 400, {})
    assert [row["rank"] for row in anywhere.read("select rank from process order by rank")] == [0, 1]
    counts = anywhere.read(
        "select rank, count(*) as n, count(distinct value) as d from result join process on process_id = process.id"
        " where type = 'loss' group by rank order by rank"
    )
    assert counts == [{"rank": 0, "n": 100, "d": 100}, {"rank": 1, "n": 100, "d": 100}]
    assert anywhere.read("select count(*) as n from span") == [{"n": 200}]


async def test_a_rank_that_is_killed_makes_the_run_lost_once_the_others_have_ended(anywhere: Any) -> None:
    command = [sys.executable, "-c", RANK, anywhere.db_file, "ends", "a"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    variables = [environment() | {"UMLAUT_RUN": "job 19", "RANK": str(number)} for number in range(2)]
    ranks = [subprocess.Popen(command, env=each, text=True, **pipes) for each in variables]
    for each in ranks:
        assert each.stdout is not None
        assert each.stdout.readline() == "flushed\n"
    ranks[0].kill()
    ranks[0].communicate(timeout=30)

    def told() -> tuple[list[str], list[str | None], int]:
        with reading(anywhere.db_file) as session:
            members = sorted(run_queries.processes(session, "job 19"), key=lambda process: process.rank or 0)
            events = [event for event in run_queries.events(session, "job 19") if event.kind == "lost"]
            endings = [process.ending for process in members]
            return [run.status for run in queries.runs(session, ["job 19"])], endings, len(events)

    assert told() == (["running"], [None, None], 0)
    assert ranks[1].communicate("\n", timeout=30)[1] == ""
    assert ranks[1].returncode == 0
    expected = ["lost"], ["ended without closing, cause unknown", "closed"], 1
    assert told() == expected
    assert anywhere.read("select status from run") == [{"status": "running"}]
    await open_and_close(anywhere.db_file)
    assert anywhere.read("select status from run where uuid = 'job 19'") == [{"status": "lost"}]
    assert told() == expected
    assert anywhere.read("select count(*) as n from result where type = 'loss'") == [{"n": 200}]


@pytest.mark.parametrize("other", ["ends", "fails"])
def test_a_rank_whose_collector_tells_that_it_was_killed_makes_the_run_lost(
    database: Path, rows: Rows, other: str
) -> None:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    commands = [[sys.executable, "-c", RANK, str(database), other, "a", each] for each in ("process", "thread")]
    variables = environment() | {"UMLAUT_RUN": "job 20"}
    ranks = [subprocess.Popen(command, env=variables, text=True, **pipes) for command in commands]
    for each in ranks:
        assert each.stdout is not None
        assert each.stdout.readline() == "flushed\n"
    ranks[0].kill()
    ranks[0].communicate(timeout=30)
    until(lambda: rows("select ending from process where ending like 'killed%'"))
    assert rows("select status from run") == [{"status": "running"}]
    assert ranks[1].communicate("\n", timeout=30)[1] == ""
    (run,) = rows("select status, ended, collector as data from run")
    assert (run["status"], run["ended"] is None, run["data"]["stored"]) == ("lost", False, 400)


@pytest.mark.parametrize("existing", [True, False])
def test_ranks_that_replace_a_file_replace_it_once(database: Path, existing: bool) -> None:
    if existing:
        asyncio.run(open_and_close(str(database)))
    variables = environment() | {"UMLAUT_RUN": "job 18"}
    command = [sys.executable, "-c", RANK, str(database), "ends", "w"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    ranks = [subprocess.Popen(command, env=variables, text=True, **pipes) for _ in range(3)]
    for each in ranks:
        assert each.stdout is not None
        assert each.stdout.readline() == "flushed\n"
    for each in ranks:
        assert each.communicate("\n", timeout=30)[1] == ""
        assert each.returncode == 0
    assert read(database, "select uuid, status from run") == [{"uuid": "job 18", "status": "ok"}]
    assert read(database, "select count(*) as n from process") == [{"n": 3}]
    assert read(database, "select count(*) as n from result where type = 'loss'") == [{"n": 300}]
    assert [path.name for path in database.parent.iterdir()] == [database.name]


async def open_and_close(db_file: str) -> None:
    """Record a run of nothing."""
    async with Benchmark(db_file):
        pass


async def test_a_process_that_comes_after_the_others_have_ended_reopens_the_run(
    anywhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UMLAUT_RUN", "job")
    async with Benchmark(anywhere.db_file) as benchmark:
        benchmark.log("a", "b", 1)
    async with Benchmark(anywhere.db_file) as benchmark:
        assert anywhere.read("select status from run") == [{"status": "running"}]
    assert anywhere.read("select status from run") == [{"status": "ok"}]
    assert anywhere.read("select count(*) as n from process") == [{"n": 2}]
    # What is opened anew is a run of its own.
    await benchmark.open()
    await benchmark.close()
    assert anywhere.read("select count(*) as n from run") == [{"n": 2}]


async def test_a_run_of_the_same_name_that_is_not_shared_is_refused(anywhere: Any) -> None:
    async with Benchmark(anywhere.db_file, run_uuid="one"):
        pass
    await refusal(anywhere.db_file, "leave out run_uuid", run_uuid="one")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"RANK": "3", "SLURM_PROCID": "9"}, 3),
        ({"SLURM_PROCID": "0"}, 0),
        ({"OMPI_COMM_WORLD_RANK": "12"}, 12),
        ({"RANK": "first", "OMPI_COMM_WORLD_RANK": "2"}, 2),
        ({"RANK": "-1"}, None),
        ({"RANK": "9" * 30}, None),
    ],
)
def test_ranks(variables: dict[str, str], expected: int | None) -> None:
    assert rank(variables) == expected


def unused_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


async def refusal(db_file: str, reason: str, **options: Any) -> str:
    """Return why a benchmark cannot be opened, after a look at it."""
    benchmark = Benchmark(db_file, **options)
    with pytest.raises(StoreError, match=reason) as caught:
        await benchmark.open()
    with suppress(StoreError):
        await benchmark.close()
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql+asyncpg://me:topsecret@127.0.0.1:{unused}/runs", "cannot be reached .*Connect call failed"),
        ("postgresql+asyncpg://me:topsecret@/runs?host=/nowhere", "cannot be reached .*No such file"),
        ("postgresql+asyncpg://postgres:topsecret@127.0.0.1:{proxy}/missing?ssl=disable", '"missing" does not exist'),
        ("postgresql+asyncpg://nobody:topsecret@127.0.0.1:{proxy}/postgres?ssl=disable", '"nobody" does not exist'),
        ("postgresql+asyncpg://me:topsecret@127.0.0.1:port/runs", "is not a URL of a database"),
        ("postgresql+asyncpg://me@tenant:topsecret@127.0.0.1:{unused}/runs", "cannot be reached .*Connect call failed"),
        ("postgresql+asyncpg://127.0.0.1/me:topsecret@host/runs", "cannot be reached .*Connect call failed"),
        ("postgresql+asyncpg://me:topsecret", "is not a URL of a database"),
        ("postgresql+asyncpg://me:topsecret@127.0.0.1:{proxy}/runs?nonsense=1", "'nonsense'"),
        ("postgresql+psycopg://me:topsecret@127.0.0.1/runs", "not supported"),
        ("mysql+asyncmy://me:topsecret@127.0.0.1/runs", "not supported"),
    ],
)
async def test_a_wrong_url_fails_at_open_with_the_reason_and_without_the_password(
    proxy: Proxy, url: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = [await refusal(url.format(unused=unused_port(), proxy=proxy.port), reason), caplog.text]
    benchmark = Benchmark(url.format(unused=unused_port(), proxy=proxy.port))
    benchmark.log("a", "b", 1)
    with pytest.raises(StoreError):
        await benchmark.close()
    told.append(caplog.text)
    assert "nothing will be recorded" in caplog.text
    assert not any("secret" in text for text in told)


def test_the_command_line_says_so_too(proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    for url in (
        f"postgresql+asyncpg://me:topsecret@127.0.0.1:{unused_port()}/runs",
        f"postgresql+asyncpg://postgres:topsecret@127.0.0.1:{proxy.port}/missing?ssl=disable",
    ):
        with pytest.raises(SystemExit) as ended:
            main(["runs", url])
        assert ended.value.code == 1
        said = capsys.readouterr().err
        assert "topsecret" not in said
        assert said.count("\n") == 1


def test_what_measures_a_command_does_not_tell_the_password(server: Server) -> None:
    url = server.url().replace("postgres@", "postgres:topsecret@")
    command = [sys.executable, "-m", "umlaut_async", "run", "--time", "--db", url, "--", "sh", "-c", "env", url]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "UMLAUT_COLLECTOR" in ended.stdout
    assert "topsecret" not in ended.stdout
    (run,) = server.read("select environment as data from run")
    shown = "postgresql+asyncpg://postgres:***@/postgres"
    assert run["data"]["argv"][1:] == ["run", "--time", "--db", shown, "--", "sh", "-c", "env", shown]
    for table in ("run", "span", "result", "event"):
        assert "topsecret" not in str(server.read(f"select * from {table}"))


def test_replacing_a_server_is_refused_at_construction() -> None:
    with pytest.raises(ArgumentError, match="mode 'w' would delete") as caught:
        Benchmark("postgresql+asyncpg://me:topsecret@127.0.0.1/runs", mode="w")
    assert "topsecret" not in str(caught.value)


async def test_tables_of_others_are_left_alone(server: Server) -> None:
    server.execute("create table run (n int)")
    await refusal(server.url(), "of another application")
    assert server.read("select count(*) as n from pg_tables where schemaname = 'public'") == [{"n": 1}]
    server.execute("comment on table run is 'umlaut_async, schema version 99'")
    await refusal(server.url(), "upgrade umlaut_async")


async def test_the_partitions_of_the_documentation_take_what_is_written(server: Server) -> None:
    from tests.support import ROOT

    text = (ROOT / "docs" / "scaling.md").read_text()
    (sql,) = [block.split("```")[0] for block in text.split("```sql\n")[1:] if "PARTITION BY" in block]
    server.execute(*(statement for statement in sql.split(";") if statement.strip()))
    # These times are in the year of the epoch, for which there is no partition of its own.
    await write(server.url())
    check_all_is_there_once(server)
    assert server.read("select count(*) as n from sample_default") != [{"n": 0}]
    async with Benchmark(server.url()) as benchmark:
        supervised = BenchmarkSupervisor([MemoryMetric("memory", interval=0.01)], benchmark)(asyncio.sleep)
        await supervised(0.1)
    assert server.read("select status from run where uuid != 'run'") == [{"status": "ok"}]
