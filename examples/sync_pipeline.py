"""Train classifiers of breast cancer, written for the API of UMLAUT: only the import differs.

python examples/sync_pipeline.py [breast_cancer.db]
"""

from __future__ import annotations

import sys

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import confusion_matrix, log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from umlaut_async import compat as umlaut
from umlaut_async.compat.datamodel import Measurement

EPOCHS = 10
DATABASE = sys.argv[1] if len(sys.argv) > 1 else "breast_cancer.db"

bm = umlaut.Benchmark(DATABASE, description="breast cancer, synchronous", mode="w")
throughput = umlaut.ThroughputMetric("train throughput")
latency = umlaut.LatencyMetric("test latency")


@umlaut.BenchmarkSupervisor([umlaut.TimeMetric("load time"), umlaut.MemoryMetric("load memory", interval=0.1)], bm)
def load() -> list[np.ndarray]:
    """Return scaled features to train and to test with, and their labels."""
    features, labels = load_breast_cancer(return_X_y=True)
    parts: list[np.ndarray] = train_test_split(features, labels, test_size=0.25, random_state=0)
    scaler = StandardScaler().fit(parts[0])
    return [scaler.transform(parts[0]), scaler.transform(parts[1]), *parts[2:]]


train_metrics = {
    "time": umlaut.TimeMetric("train time"),
    "throughput": throughput,
    "cpu": umlaut.CPUMetric("train cpu", interval=0.1),
}


@umlaut.BenchmarkSupervisor(train_metrics.values(), bm)
def train(alpha: float, features: np.ndarray, labels: np.ndarray) -> tuple[SGDClassifier, list[float], list[float]]:
    """Return a model, and its loss and accuracy after each epoch."""
    model = SGDClassifier(loss="log_loss", alpha=alpha, random_state=0)
    losses, accuracies = [], []
    for _ in range(EPOCHS):
        model.partial_fit(features, labels, classes=[0, 1])
        losses.append(float(log_loss(labels, model.predict_proba(features))))
        accuracies.append(float(model.score(features, labels)))
    throughput.track(EPOCHS * len(features))
    return model, losses, accuracies


@umlaut.BenchmarkSupervisor([latency], bm)
def test(model: SGDClassifier, features: np.ndarray) -> np.ndarray:
    """Return what the model takes each example for."""
    latency.track(len(features))
    return model.predict(features)


def main() -> None:
    """Choose the regularisation, and judge the best model."""
    features, held_out, labels, held_out_labels = load()
    runs = {}
    with umlaut.HyperparameterTracker(bm, "regularisation", ["alpha"], "loss", low_means_good=True) as tracker:
        for alpha in (1e-4, 1e-3, 1e-2):
            runs[alpha] = train(alpha, features, labels)
            tracker.track({"alpha": alpha, "loss": runs[alpha][1][-1]})
    model, losses, accuracies = min(runs.values(), key=lambda run: run[1][-1])
    umlaut.LossTracker(bm).track(losses, "training loss")
    umlaut.TTATracker(bm).track(np.array(accuracies), "training accuracy")
    predicted = test(model, held_out)
    # scikit-learn has the actual labels on axis 0, the tracker the predicted ones.
    umlaut.ConfusionMatrixTracker(bm).track(
        confusion_matrix(held_out_labels, predicted).T, ["malignant", "benign"], "test confusion"
    )
    bm.close()
    print(f"accuracy {np.mean(predicted == held_out_labels):.3f}")
    reading = umlaut.Benchmark(DATABASE, mode="r")
    for measurement in reading.query(Measurement).filter_by(measurement_type="time").all():
        print(f"{measurement.measured_method_name} {measurement.measurement_data:.3f} {measurement.measurement_unit}")
    reading.close()


if __name__ == "__main__":
    main()
