"""A library that answers as `libnvidia-ml.so.1`, compiled from `fake_nvml.c`, and what a test makes it say."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SOURCE = Path(__file__).with_suffix(".c")
MIB = 2**20


class Gpu(NamedTuple):
    """What the library tells of a GPU, or of a MIG device."""

    uuid: str = "GPU-11111111-aaaa-bbbb-cccc-000000000000"
    utilisation: int = 37
    used: int = 1536 * MIB
    reserved: int = 400 * MIB
    total: int = 8192 * MIB
    milliwatts: int = 71_500
    millijoules: int = 5_000_000
    kind: str = "gpu"


TWO_GPUS = (Gpu(), Gpu("GPU-22222222-aaaa-bbbb-cccc-000000000000", 90, 512 * MIB, 1, 4096 * MIB, 250_000, 9_000_000))


class FakeNvml:
    """The script of the library.

    Args:
        folder: Where the library is, under the name that `pynvml` loads.
        script: The file that the library reads.
    """

    def __init__(self, folder: Path, script: Path) -> None:
        self.folder = folder
        self.script = script
        self._log = script.with_name(script.name + ".calls")

    def says(self, *gpus: Gpu, errors: dict[str, int] | None = None, also: str = "") -> None:
        """Let the library answer so from now on.

        Args:
            gpus: The GPUs that there are, two by default.
            errors: The code that a function answers.
            also: Further lines of the script.
        """
        lines = [f"{gpu.kind} {' '.join(map(str, gpu[:-1]))}" for gpu in gpus or TWO_GPUS]
        lines += [f"error {function} {code}" for function, code in (errors or {}).items()]
        new = self.script.with_suffix(".new")
        new.write_text("\n".join([*lines, also, ""]))
        os.replace(new, self.script)

    def calls(self) -> Counter[str]:
        """Return how often each function was called."""
        return Counter(line.split()[1] for line in self._lines())

    def processes(self, function: str) -> Counter[int]:
        """Return how often each process called a function."""
        return Counter(int(line.split()[0]) for line in self._lines() if line.split()[1] == function)

    def forget_calls(self) -> None:
        """Count from 0 again."""
        self._log.unlink(missing_ok=True)

    def _lines(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


def compiled(folder: Path, *options: str) -> Path:
    """Compile the library into a folder, or skip the test where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler, to make a library that answers as libnvidia-ml.so.1")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", *options, "-o", library, SOURCE], check=True, timeout=60)
    return library


def pynvml_on(library: Path) -> Any:
    """Return a copy of the real module `pynvml` that has loaded this library, which no other code sees."""
    spec = importlib.util.find_spec("pynvml")
    assert spec is not None
    assert spec.origin is not None
    copy = importlib.util.spec_from_file_location("pynvml_of_a_test", spec.origin)
    assert copy is not None
    assert copy.loader is not None
    module: Any = importlib.util.module_from_spec(copy)
    # It looks itself up while it is executed.
    sys.modules[copy.name] = module
    try:
        copy.loader.exec_module(module)
    finally:
        del sys.modules[copy.name]
    module.nvmlLib = ctypes.CDLL(str(library))
    return module
