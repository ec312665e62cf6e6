"""In what two groups of runs differ besides their numbers: hyperparameters, machine, versions, source, arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Difference", "Differences", "Machine", "Setting", "differences"]

Machine: TypeAlias = Literal["same", "different", "unknown"]

UNKNOWN = "unknown"

# How many processes a launcher has started.
_SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS", "SLURM_NNODES")

# Where these differ, the numbers may differ for no reason of the program.
_MACHINE = (
    ("host", "host"),
    ("machine", "os", "machine"),
    ("CPU", "cpu", "model"),
    ("CPUs", "cpu", "count"),
    ("CPUs allowed", "cpu", "allowed"),
    ("CPUs by the limits of the container", "limits", "usable_cpus"),
    ("memory in bytes", "memory", "bytes"),
    ("memory in bytes by the limits of the container", "limits", "usable_memory_bytes"),
    ("GPU driver", "gpus", "driver"),
)
_OTHERS = (
    ("kernel", "os", "kernel"),
    ("distribution", "os", "distribution"),
    ("Python", "python", "version"),
    ("interpreter", "python", "implementation"),
    ("git commit", "git", "commit"),
    ("changed since the commit", "git", "dirty"),
    ("arguments", "argv"),
    ("directory", "directory"),
    *((name, "launcher", name) for name in _SIZES),
)


class Setting(NamedTuple):
    """What is known of a run besides its numbers, as it was stored."""

    environment: Any
    searches: Sequence[Any] = ()
    """What each hyperparameter tracker recorded."""


class Difference(NamedTuple):
    """What is not the same in all runs."""

    what: str
    base: tuple[str, ...]
    """The values in the first group, each once."""
    new: tuple[str, ...]
    machine: bool
    """Whether it is a matter of the machine."""


class Differences(NamedTuple):
    """In what the runs differ."""

    machine: Machine
    """Whether all runs of both groups ran on one machine."""
    found: tuple[Difference, ...]


def differences(base: Sequence[Setting], new: Sequence[Setting]) -> Differences:
    """Compare the settings of two groups of runs."""
    facts = [_known(setting) for setting in base], [_known(setting) for setting in new]
    found = []
    for what in dict.fromkeys(what for side in facts for run in side for what in run):
        before, after = (tuple(dict.fromkeys(run.get(what, UNKNOWN) for run in side)) for side in facts)
        if len({*before, *after}) > 1:
            found.append(Difference(what, before, after, machine=what in _MACHINE_FACTS))
    if any(difference.machine for difference in found):
        return Differences("different", tuple(found))
    known = all("host" in run for side in facts for run in side)
    return Differences("same" if known else "unknown", tuple(found))


_GPUS = "GPUs"
_MACHINE_FACTS = frozenset({_GPUS, *(what for what, *_ in _MACHINE)})


def _known(setting: Setting) -> dict[str, str]:
    """Return all that is known of a run, by what it is called; what a person has chosen comes first."""
    chosen: dict[str, dict[str, None]] = {}
    for search in setting.searches:
        names, measurements = _at(search, ["hyperparameters"]), _at(search, ["measurements"])
        for measured in measurements if isinstance(measurements, list) else ():
            for name in names if isinstance(names, list) else ():
                if (value := _at(measured, [str(name)])) is not None:
                    chosen.setdefault(f"hyperparameter {name}", {})[_text(value)] = None
    return {what: ", ".join(values) for what, values in chosen.items()} | dict(_facts(setting.environment))


def _facts(environment: Any) -> Iterator[tuple[str, str]]:
    """Give what is known of the environment of a run, by what it is called."""
    for what, *path in _MACHINE:
        yield from _fact(environment, what, path)
    devices = _at(environment, ["gpus", "devices"])
    if isinstance(devices, list):
        names = [str(device.get("name") or "unknown") for device in devices if isinstance(device, dict)]
        yield _GPUS, ", ".join(names) or "none"
    for what, *path in _OTHERS:
        yield from _fact(environment, what, path)
    packages = _at(environment, ["packages", "list"])
    if isinstance(packages, list):
        for package in packages:
            name, _, version = str(package).partition("==")
            yield f"package {name}", version


def _fact(environment: Any, what: str, path: Sequence[str]) -> Iterator[tuple[str, str]]:
    value = _at(environment, path)
    if value is not None:
        yield what, _text(value)


def _at(environment: Any, path: Sequence[str]) -> Any:
    for name in path:
        environment = environment.get(name) if isinstance(environment, dict) else None
    return environment


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
