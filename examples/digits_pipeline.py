"""Train a classifier of handwritten digits from files on disk, with every stage measured.

python examples/digits_pipeline.py [--db digits.db]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import Progress
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss
from sklearn.model_selection import train_test_split

from umlaut_async import (
    Benchmark,
    BenchmarkSupervisor,
    ConfusionMatrixTracker,
    CPUMetric,
    HyperparameterTracker,
    IOMetric,
    LatencyMetric,
    LossTracker,
    MemoryMetric,
    ThroughputMetric,
    TimedTTATracker,
    TimeMetric,
    TTATracker,
)
from umlaut_async.cli import print_run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

DIGITS = np.arange(10)
EPOCHS = 10
SHARD_SIZE = 32
TARGET_ACCURACY = 0.95

parser = argparse.ArgumentParser(description="Train on scikit-learn's digits, with every stage measured.")
parser.add_argument("--db", type=Path, default=Path("digits.db"), help="the result database (default: %(default)s)")
options = parser.parse_args()

bm = Benchmark(options.db, description="digits from shards on disk", tags=["example"])
trained = ThroughputMetric("train throughput")
validated = LatencyMetric("validation latency")


class Examples(NamedTuple):
    """Images, one per row, with their labels."""

    images: np.ndarray
    labels: np.ndarray


@BenchmarkSupervisor([TimeMetric("write time"), IOMetric("write io", interval=0.1)], bm)
def write_shards(examples: Examples, folder: Path) -> list[Path]:
    """Write the examples as files of at most SHARD_SIZE each."""
    paths = []
    for start in range(0, len(examples.labels), SHARD_SIZE):
        part = slice(start, start + SHARD_SIZE)
        paths.append(folder / f"shard-{start:05}.npz")
        np.savez(paths[-1], images=examples.images[part], labels=examples.labels[part])
    return paths


@BenchmarkSupervisor([TimeMetric("read time")], bm)
def read_shard(path: Path) -> Examples:
    """Read one shard, which blocks: call it in a thread."""
    with np.load(path) as shard:
        return Examples(shard["images"], shard["labels"])


@BenchmarkSupervisor(
    [TimeMetric("load time"), ThroughputMetric("load throughput"), CPUMetric("load cpu", interval=0.1)], bm
)
async def batches(paths: Sequence[Path], ahead: int = 4) -> AsyncIterator[Examples]:
    """Yield the shards in order, while at most `ahead` more are being read in the background."""
    pending: deque[asyncio.Task[Examples]] = deque()
    try:
        for path in paths:
            pending.append(asyncio.create_task(asyncio.to_thread(read_shard, path)))
            if len(pending) > ahead:
                yield await pending.popleft()
        while pending:
            yield await pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


@BenchmarkSupervisor(
    [
        TimeMetric("train time"),
        trained,
        CPUMetric("train cpu", interval=0.05),
        MemoryMetric("train memory", interval=0.05),
    ],
    bm,
)
async def train_epoch(model: SGDClassifier, paths: Sequence[Path]) -> None:
    """Take one pass over the shards."""
    async for images, labels in batches(paths):
        model.partial_fit(images, labels, classes=DIGITS)
        trained.track(len(labels))


@BenchmarkSupervisor([TimeMetric("validation time"), validated, MemoryMetric("validation memory", interval=0.05)], bm)
def validate(model: SGDClassifier, examples: Examples) -> tuple[float, float]:
    """Return the loss and the accuracy on examples that the model has not seen."""
    validated.track(len(examples.labels))
    probabilities = model.predict_proba(examples.images)
    accuracy = accuracy_score(examples.labels, DIGITS[probabilities.argmax(axis=1)])
    return float(log_loss(examples.labels, probabilities, labels=DIGITS)), float(accuracy)


def new_model(alpha: float = 1e-3) -> SGDClassifier:
    """Return an untrained model; `alpha` is the strength of its regularisation."""
    return SGDClassifier(loss="log_loss", alpha=alpha, random_state=0)


async def sweep(paths: Sequence[Path], validation: Examples) -> float:
    """Return the regularisation that does best after one epoch."""
    losses: dict[float, float] = {}
    with HyperparameterTracker(bm, "regularisation", ["alpha"], "loss", low_means_good=True) as tracker:
        for alpha in (1e-4, 1e-3, 1e-2, 1e-1):
            model = new_model(alpha)
            await train_epoch(model, paths)
            losses[alpha], _ = validate(model, validation)
            tracker.track({"alpha": alpha, "loss": losses[alpha]})
    return min(losses, key=losses.__getitem__)


async def train(alpha: float, paths: Sequence[Path], validation: Examples, progress: Progress) -> SGDClassifier:
    """Train for EPOCHS epochs and track how the model gets better."""
    model = new_model(alpha)
    timed = TimedTTATracker(bm, TARGET_ACCURACY)
    losses, accuracies = [], []
    for _ in progress.track(range(EPOCHS), description="Training"):
        await train_epoch(model, paths)
        loss, accuracy = validate(model, validation)
        losses.append(loss)
        accuracies.append(accuracy)
        timed.track(accuracy, f"time to {TARGET_ACCURACY:.0%} accuracy")
        await bm.flush()  # Whatever happens from here on, this epoch is on disk.
    LossTracker(bm).track(losses, "validation loss")
    TTATracker(bm).track(accuracies, "validation accuracy")
    return model


async def main() -> None:
    """Run the pipeline: write, choose, train, judge."""
    digits = load_digits()
    scaled = digits.data / 16
    images, held_out, labels, held_out_labels = train_test_split(scaled, digits.target, test_size=0.25, random_state=0)
    validation = Examples(held_out, held_out_labels)
    progress = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())
    async with bm:
        with tempfile.TemporaryDirectory() as folder, progress:
            paths = write_shards(Examples(images, labels), Path(folder))
            async with BenchmarkSupervisor([TimeMetric("sweep time")], bm, name="sweep"):
                alpha = await sweep(paths, validation)
            model = await train(alpha, paths, validation, progress)
        # scikit-learn has the actual labels on axis 0, the tracker the predicted ones.
        matrix = confusion_matrix(validation.labels, model.predict(validation.images)).T
        ConfusionMatrixTracker(bm).track(matrix, [str(digit) for digit in DIGITS], "validation confusion")


if __name__ == "__main__":
    asyncio.run(main())
    print_run(options.db, bm.uuid)
