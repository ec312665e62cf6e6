"""The environment of a run: what ran, on what machine, from which source. It is slow; call it in the background."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from umlaut_async.collector.absent import AbsentError
from umlaut_async.collector.git import git_state
from umlaut_async.collector.launchers import launcher_variables
from umlaut_async.probes import UnavailableError, UnreadableError, cgroup, nvml
from umlaut_async.probes.nvml_errors import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

JSON: TypeAlias = Any

GIT_TIMEOUT = 2.0
"""Seconds that git may take in all."""

PARTS = frozenset(
    {
        "host", "os", "python", "cpu", "memory", "limits", "gpus", "argv", "directory", "git", "packages", "launcher",
    }
)  # fmt: skip


def in_steps(argv: Sequence[str], directory: str, path: Sequence[str], gpus: bool) -> Iterator[dict[str, JSON]]:
    """Yield the environment of a process: first what is had at once, then with what git says, which may be slow.

    Args:
        argv: Its command line.
        directory: Its working directory.
        path: Where it looks for modules.
        gpus: Whether the run has a metric of a GPU.
    """
    ask = partial(_gpus, "/proc", gpus)
    environment = gather(argv=argv, directory=directory, path=path, gpus=ask, without=["git"])
    yield {**environment, "absent": {**environment["absent"], "git": "git had not answered when the run ended"}}
    rest = gather(argv=argv, directory=directory, without=PARTS - {"git"})
    yield {**environment, **rest, "absent": {**environment["absent"], **rest["absent"]}}


def gather(
    *,
    argv: Sequence[str] | None = None,
    directory: str | None = None,
    path: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
    gpus: Callable[[], JSON] | None = None,
    proc: str = "/proc",
    sys_cgroup: str = cgroup.MOUNT_POINT,
    git_timeout: float = GIT_TIMEOUT,
    without: Collection[str] = (),
) -> dict[str, JSON]:
    """Return the environment of this process as JSON.

    Of the environment variables only those of launchers are taken that `launcher_variables` names. The arguments of the
    command line are taken as they are: a secret does not belong there, where every user of the machine can read it.

    A part that cannot be had is left out, and `absent` says why.

    Args:
        argv: The command line, if not that of now.
        directory: The working directory, if not that of now, for stages may change it; empty where it was removed.
        path: Where modules are looked for, if not where this process does.
        environ: The environment variables, if not those of now.
        gpus: Returns the GPUs and the driver; by default NVML is asked where its driver is loaded or a metric needs it.
        proc: Where the process file system is mounted.
        sys_cgroup: Where control groups are mounted.
        git_timeout: The seconds that git may take in all.
        without: The parts that are not wanted.
    """
    parts: dict[str, Callable[[], JSON]] = {
        "host": platform.node,
        "os": _os,
        "python": _python,
        "cpu": lambda: _cpu(proc),
        "memory": lambda: _memory(proc),
        "limits": lambda: _limits(proc, sys_cgroup),
        "gpus": gpus or (lambda: _gpus(proc, nvml.wanted())),
        "argv": lambda: [*(sys.argv if argv is None else argv)],
        "directory": lambda: _directory(os.getcwd() if directory is None else directory),
        "git": lambda: git_state(directory, git_timeout),
        "packages": lambda: _packages(directory or "", sys.path if path is None else path),
        "launcher": lambda: launcher_variables(os.environ if environ is None else environ),
    }
    for name in without:
        del parts[name]
    found: dict[str, JSON] = {}
    absent: dict[str, str] = {}
    for name, part in parts.items():
        try:
            found[name] = _storable(part())
        except AbsentError as error:
            absent[name] = _storable(str(error))
        except Exception as error:
            absent[name] = _storable(f"{type(error).__name__}: {error}")
    return found | {"absent": absent}


def _os() -> JSON:
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "distribution": _distribution(),
    }


def _distribution() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def _python() -> JSON:
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "prefix": sys.prefix,
    }


def _cpu(proc: str) -> JSON:
    return {"model": _cpu_model(proc), "count": os.cpu_count(), "allowed": cgroup.allowed_cpus(proc)}


def _cpu_model(proc: str) -> str | None:
    try:
        text = Path(proc, "cpuinfo").read_text(errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^(?:model name|Model|cpu model)\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine() or None


def _memory(proc: str) -> JSON:
    total = cgroup.host_memory(proc)
    if total is None:
        import psutil

        total = int(psutil.virtual_memory().total)
    return {"bytes": total}


def _limits(proc: str, sys_cgroup: str) -> JSON:
    found = cgroup.limits(proc, sys_cgroup)
    if found.version is None:
        raise AbsentError("there are no control groups")
    events = {name: number for name, number in cgroup.events(proc, sys_cgroup)._asdict().items() if number is not None}
    return {
        "cgroup": found.version,
        "group": cgroup.memory_group(proc),
        "memory_bytes": found.memory,
        "cpu_quota": found.cpu,
        "cpuset": found.cpus,
        "usable_memory_bytes": cgroup.memory_limit(proc, sys_cgroup),
        "usable_cpus": cgroup.cpu_limit(proc, sys_cgroup),
        "events": events,
    }


def _gpus(proc: str, wanted: bool) -> JSON:
    # To initialise NVML loads the driver where that is not loaded, and takes long: not for a run without a GPU.
    if not wanted and not Path(proc, "driver", "nvidia").exists():
        raise AbsentError("the NVIDIA driver is not loaded, and no metric asks for a GPU")
    try:
        pynvml = nvml.shared().module()
    except (UnavailableError, UnreadableError) as error:
        raise AbsentError(str(error)) from None
    devices = [_gpu(pynvml, number) for number in range(pynvml.nvmlDeviceGetCount())]
    return {"driver": _guarded(pynvml.nvmlSystemGetDriverVersion), "devices": devices}


def _gpu(pynvml: Any, number: int) -> JSON:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
    except pynvml.NVMLError as error:
        # One that is lost, or needs a reset, must not cost the others.
        return {"index": number, "absent": str(explained(error, f"GPU {number}", worked=True))}
    return {
        "name": _guarded(pynvml.nvmlDeviceGetName, handle),
        "uuid": _guarded(pynvml.nvmlDeviceGetUUID, handle),
        "memory_bytes": _guarded(lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)),
    }


def _guarded(ask: Callable[..., Any], *arguments: Any) -> Any:
    """Return an answer, or None where the device has none: one field must not cost the others."""
    try:
        answer = ask(*arguments)
    except Exception:
        return None
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer


def _directory(directory: str) -> str:
    if not directory:
        raise AbsentError("the working directory was removed")
    return directory


def _packages(directory: str, path: Sequence[str]) -> JSON:
    """Return the installed distributions and their hash.

    The names of their folders tell name and version. `importlib.metadata` would parse every file of metadata, which
    holds the GIL for a second where many are installed.
    """
    versions: dict[str, str] = {}
    for folder in path:
        for name, version in _distributions(os.path.join(directory, folder) or "."):
            versions.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)  # The first on the path is the one used.
    listed = [f"{name}=={version}" for name, version in sorted(versions.items())]
    return {"sha256": hashlib.sha256("\n".join(listed).encode("utf-8", "backslashreplace")).hexdigest(), "list": listed}


def _distributions(folder: str) -> list[tuple[str, str]]:
    try:
        entries = os.listdir(folder)
    except OSError:
        return []
    found = []
    for entry in entries:
        stem, kind = os.path.splitext(entry)
        if kind in (".dist-info", ".egg-info"):
            name, _, rest = stem.partition("-")
            found.append((name, re.sub(r"-py\d.*", "", rest) or _version_in(Path(folder, entry, "PKG-INFO"))))
    return found


def _version_in(metadata: Path) -> str:
    try:
        found = re.search(r"^Version: *(\S+)", metadata.read_text(errors="replace"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else "unknown"


def _storable(value: JSON) -> JSON:
    """Return JSON without what cannot be encoded: paths and arguments may be any bytes."""
    match value:
        case str():
            return os.fsencode(value).decode("utf-8", "backslashreplace") if not value.isascii() else value
        case dict():
            return {_storable(key): _storable(item) for key, item in value.items()}
        case list() | tuple():
            return [_storable(item) for item in value]
        case _:
            return value
