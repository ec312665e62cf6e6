"""The energy counters of this machine (RAPL), as pyRAPL finds and opens them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from umlaut_async.probes.probe import UnavailableError
from umlaut_async.probes.pyrapl import closing_on_error, pyrapl

if TYPE_CHECKING:
    from collections.abc import Iterable

_PACKAGES = Path("/sys/class/powercap/intel-rapl")

_CHMOD = "run: sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"
_ONE_FOR_EACH = "it needs one domain named package-<socket> for each CPU socket"
_MODPROBE = "on a machine with an Intel or AMD CPU run: sudo modprobe intel_rapl_msr"


class Domain:
    """One counter, as pyRAPL has opened it."""

    def __init__(self, api: Any, socket: int) -> None:
        self._api = api
        self.socket = socket
        self._file = api._sys_files[0]
        api._sys_files[0] = _OneCall(self._file)
        self.path: str = self._file.name

    def read(self) -> int:
        return int(self._api.energy()[self.socket])

    def range(self) -> int | None:
        try:
            return int(Path(self.path).with_name("max_energy_range_uj").read_text()) or None
        except (OSError, ValueError):
            return None

    def is_deleted(self) -> bool:
        """Return whether the file is gone, and would give its last value for ever."""
        return os.fstat(self._file.fileno()).st_nlink == 0

    def close(self) -> None:
        self._file.close()


class _OneCall:
    """A file as pyRAPL uses it, read by one system call: at each of them other threads may take the interpreter."""

    def __init__(self, file: Any) -> None:
        self._descriptor = file.fileno()

    def seek(self, *_: int) -> None:
        """Do nothing, since `readline` always begins at the start."""

    def readline(self) -> bytes:
        return os.pread(self._descriptor, 64, 0)


class Fault(NamedTuple):
    """Why a counter that there is, or was, gives nothing."""

    reason: str
    cure: str | None = None


class Domains(NamedTuple):
    """The counters of a machine."""

    packages: list[Domain]
    dram: list[Domain]
    """Those of memory that could be opened."""
    refused: dict[int, Fault]
    """Why the others could not be, by the number of the package."""


def open_domains() -> Domains:
    """Open the counters of all packages, and of memory where there are any that can be opened."""
    folders = _folders()
    try:
        rapl = pyrapl()
    except ImportError as error:
        raise UnavailableError(f"pyRAPL cannot be imported ({error})", "run: pip install pyRAPL") from None
    packages: list[Domain] = []
    dram: list[Domain] = []
    refused: dict[int, Fault] = {}
    try:
        packages.extend(_open_domain(rapl.PkgAPI, socket, folder) for socket, folder in folders.items())
    except PermissionError:
        _close_all(packages)
        raise UnavailableError("this process may not read the energy counters of the CPU", _CHMOD) from None
    except Exception as error:
        _close_all(packages)
        reason = f"pyRAPL cannot open the energy counters below {_PACKAGES} ({type(error).__name__}: {error})"
        raise UnavailableError(reason, _ONE_FOR_EACH) from None
    for socket, folder in folders.items():
        # The energy of packages is worth having without that of their memory.
        try:
            dram.append(_open_domain(rapl.DramAPI, socket, folder))
        except rapl.PyRAPLCantInitDeviceAPI:
            pass  # There is none: most machines for one person count no memory.
        except PermissionError:
            refused[socket] = Fault("this process may not read its energy counter", _CHMOD)
        except Exception as error:
            refused[socket] = Fault(f"pyRAPL cannot open its energy counter ({type(error).__name__}: {error})")
    return Domains(packages, dram, refused)


def _close_all(domains: Iterable[Domain]) -> None:
    for domain in domains:
        domain.close()


def _open_domain(api_class: Any, socket: int, folder: Path) -> Domain:
    # Where pyRAPL looks for the folders itself, it finds none behind a package that is unplugged, none that is no
    # socket in the topology of the CPUs, and fails on CPUs that are offline.
    api = api_class.__new__(api_class)
    api._socket_ids = [socket]
    api._get_socket_directory_names = lambda: [(str(folder), int(folder.name.rpartition(":")[2]))]
    with closing_on_error():
        api._sys_files = api._open_rapl_files()
    return Domain(api, socket)


def _folders() -> dict[int, Path]:
    """Return the folders of the packages that have counters, by the numbers of these, in their order."""
    if sys.platform != "linux":
        raise UnavailableError("only Linux gives access to the energy counters of the CPU", "run it on Linux")
    found: dict[int, Path] = {}
    for file in _PACKAGES.glob("intel-rapl:*/name"):
        try:
            package = re.match(r"package-(\d+)", file.read_text())
        except OSError:
            continue  # It has gone meanwhile.
        if package and found.setdefault(int(package[1]), file.parent) != file.parent:
            reason = f"there are several energy counters of package {package[1]} in {_PACKAGES}"
            raise UnavailableError(reason, _ONE_FOR_EACH)
    if not found:
        reason = f"there are no energy counters of CPU packages (RAPL) in {_PACKAGES}, as in most virtual machines"
        raise UnavailableError(reason, _MODPROBE)
    return dict(sorted(found.items()))
