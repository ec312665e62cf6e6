"""The same questions and changes on a database server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric, TimeMetric
from umlaut_async.analysis import Results

if TYPE_CHECKING:
    from tests.cli.conftest import Umlaut
    from tests.postgres import Server


async def test_a_run_on_a_server(server: Server, umlaut: Umlaut) -> None:
    url = server.url()
    for number in range(2):
        benchmark = Benchmark(url, name=f"run {number}", tags=["kept"])

        @BenchmarkSupervisor([TimeMetric("t"), MemoryMetric("m", interval=0.01)], benchmark)
        async def train() -> None:
            await asyncio.sleep(0.03)

        async with benchmark:
            await train()

    async def command(*arguments: str) -> str:
        shown = await asyncio.to_thread(umlaut, *arguments)
        assert (shown.exit_code, shown.stderr) == (0, "")
        return shown.stdout

    assert "run 1" in await command("runs", url, "tag:kept", "--limit", "1")
    assert "train" in await command("show", url, "run 0")
    run = await asyncio.to_thread(lambda: Results(url).run("tag:kept~1"))
    assert run.name == "run 0"
    assert [call["stage"] for call in run.calls] == ["train"]
    assert len(run.samples("memory", "train")) >= 1
    assert (await command("tag", url, "run 0", "best", "-r", "kept")).endswith("best\n")
    assert "removed" in await command("rm", url, "tag:kept", "--yes")
    assert [(each.name, each.info.tags) for each in Results(url).runs()] == [("run 0", ["best"])]
    for table, rows in (("process", 1), ("span", 1), ("series", 1), ("result", 2)):
        assert server.read(f"SELECT count(*) AS n FROM {table}") == [{"n": rows}]
    shown = await asyncio.to_thread(umlaut, "vacuum", url)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "`umlaut vacuum` is for SQLite files" in shown.stderr
