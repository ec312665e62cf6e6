"""How the known types of measurement are titled, and what stands on their axes."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Kind", "axis", "kind_of"]


class Kind(NamedTuple):
    """What is said of one type of measurement."""

    title: str
    quantity: str
    """What is measured, for the axis."""
    unit: str | None = None
    """The unit for the axis; None: the one that is stored with each measurement."""
    step: str = "step"
    """What the numbers of a list are counted by."""


_KINDS = {
    "time": Kind("Time", "Time taken"),
    "latency": Kind("Latency", "Latency"),
    "throughput": Kind("Throughput", "Throughput"),
    "cpu": Kind("CPU usage", "CPU usage"),
    "memory": Kind("Memory usage", "Memory usage"),
    "io": Kind("Input and output", "Input and output"),
    "power": Kind("Power", "Power"),
    "energy": Kind("Energy", "Energy used"),
    "gpu": Kind("GPU usage", "GPU usage"),
    "gpumemory": Kind("GPU memory usage", "GPU memory usage"),
    "gpupower": Kind("GPU power", "GPU power"),
    "gpuenergy": Kind("GPU energy", "GPU energy used"),
    "gputime": Kind("GPU time", "GPU time taken"),
    "looplag": Kind("Lag of the event loop", "Lag"),
    "await": Kind("Time of coroutines", "Time taken"),
    "wait": Kind("Waiting for data", "Share of the time"),
    # The units that are stored with these name the quantity itself.
    "loss": Kind("Loss over epochs", "Loss", "", "epoch"),
    "tta": Kind("Time to accuracy", "Accuracy", "", "epoch"),
    "timed tta": Kind("Time to target accuracy", "Time taken", "sec"),
    "hyperparameters": Kind("Hyperparameters", "", ""),
    "confusion-matrix": Kind("Confusion matrix", "", ""),
}


def kind_of(measure_type: str) -> Kind:
    """Return what is said of a type; an unknown one is titled by its own name."""
    return _KINDS.get(measure_type) or Kind(measure_type, measure_type)


def axis(quantity: str, unit: str) -> str:
    """Return the label of an axis."""
    return f"{quantity} in {unit}" if unit else quantity
