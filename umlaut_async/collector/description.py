"""The description of what a run runs on, gathered beside it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from umlaut_async.collector.joining import tell
from umlaut_async.collector.threads import in_thread
from umlaut_async.probes import nvml

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from umlaut_async.collector.settings import RunSettings
    from umlaut_async.collector.writer import Writer

_logger = logging.getLogger("umlaut_async")


class Told(Protocol):
    """What is set when something has happened."""

    def set(self) -> object:
        """Take note that it has."""
        ...


async def describe(settings: RunSettings, writer: Writer, settled: Told, gpus_known: asyncio.Event) -> None:
    """Gather what a run runs on, which may take a while, and let those runs know of it in which it was begun.

    Args:
        settings: What the run is.
        writer: Takes the description.
        settled: Set when everything is imported that is needed for it.
        gpus_known: Set when the run has a metric of a GPU, or is about to end, which then waits for this.
    """
    described: dict[str, Any] = {}
    try:
        steps = await in_thread(lambda: _steps(settings))
        while (environment := await in_thread(lambda: next(steps, None))) is not None:
            if settings.beside:
                environment["within"] = [address.run for address in settings.beside]
            writer.describe(environment=environment)
            settled.set()
            described = environment
        await in_thread(lambda: tell(settings.beside, settings))
        if not settings.gpus:
            await gpus_known.wait()
            if nvml.wanted():
                writer.describe(environment=await in_thread(lambda: _with_gpus(described)))
    except Exception:
        _logger.exception("the environment could not be described, which is a defect of umlaut_async")
    settled.set()


def _steps(settings: RunSettings) -> Iterator[dict[str, Any]]:
    from umlaut_async.collector.environment import in_steps

    return in_steps(settings.argv, settings.directory, settings.path, settings.gpus)


def _with_gpus(described: dict[str, Any]) -> dict[str, Any]:
    from umlaut_async.collector.environment import PARTS, gather

    found = gather(without=PARTS - {"gpus"})
    absent = {part: reason for part, reason in described["absent"].items() if part != "gpus"}
    return {**described, **found, "absent": absent | found["absent"]}
