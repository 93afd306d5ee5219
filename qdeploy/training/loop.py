# SPDX-License-Identifier: Apache-2.0
"""The training loop: a float network first, then its quantized twin from there, as SYQ does."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn

from qdeploy.errors import UserError
from qdeploy.files import atomic_file
from qdeploy.networks import build_network
from qdeploy.networks.network import Network
from qdeploy.quantizers.syq import SyqWeightQuantizer
from qdeploy.training import checkpoint, datasets
from qdeploy.training.config import DataConfig, NetworkConfig, TrainingConfig
from qdeploy.training.datasets import Dataset
from qdeploy.training.evaluation import accuracy

# Relative to the other parameters; with full steps scales ran far out of their integers' range.
SCALE_LEARNING_RATE = 0.1
_CHECKPOINT = "network.safetensors"
_FLOAT_CHECKPOINT = "float.safetensors"
_RECORD = "training.json"


@dataclass(frozen=True)
class Epoch:
    """Mean training loss (nats) of an epoch, and accuracy on the test set after it."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class TrainingResult:
    """What `train` wrote.

    Attributes:
        checkpoint: network.safetensors, the quantized network.
        float_checkpoint: float.safetensors.
        accuracy: of the quantized network on the test set, 0 .. 1.
        float_accuracy: of the float network.
        seconds: wall time of both trainings.
    """

    checkpoint: Path
    float_checkpoint: Path
    accuracy: float
    float_accuracy: float
    seconds: float


def train(
    data: DataConfig, network: NetworkConfig, training: TrainingConfig, directory: Path
) -> TrainingResult:
    """Train the float network, then the quantized one from its parameters; shows progress.

    Writes network.safetensors, float.safetensors and training.json (accuracies, losses of all
    epochs, configuration, seconds) into `directory`. Runs in one thread: the networks are small,
    and so the result does not depend on the number of cores. The caller's random state is kept.

    Raises:
        UserError: if `network` is a float one, or if training diverges.
    """
    if network.weights == "float":
        raise UserError(
            "network.weights is 'float': nothing to quantize",
            remedy="choose 'binary' or 'ternary'; the float network is always trained along",
        )
    started = time.monotonic()
    dataset = datasets.load(data.dataset)
    with _reproducible(training.seed), _progress() as progress:
        float_network = build_network(network.model_copy(update={"weights": "float"}))
        float_epochs = _fit(
            float_network, dataset, training, training.float_epochs, progress, "float"
        )
        quantized = build_network(network)
        missing, unexpected = quantized.load_state_dict(float_network.state_dict(), strict=False)
        assert not unexpected, unexpected
        assert all("tensor_quant" in name for name in missing), missing
        epochs = _fit(quantized, dataset, training, training.epochs, progress, "quantized")
    checkpoint.save(quantized, directory / _CHECKPOINT)
    checkpoint.save(float_network, directory / _FLOAT_CHECKPOINT)
    record = {
        "data": data.model_dump(),
        "network": network.model_dump(),
        "training": training.model_dump(),
        "seconds": round(time.monotonic() - started, 3),
        "float": _record(float_epochs),
        "quantized": _record(epochs),
    }
    with atomic_file(directory / _RECORD) as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n")
    return load_training_result(directory)


def load_training_result(directory: Path) -> TrainingResult:
    """What `train` wrote into `directory`.

    Raises:
        UserError: if there is no training.json, or not one of ours.
    """
    path = Path(directory) / _RECORD
    try:
        record = json.loads(path.read_text())
        return TrainingResult(
            checkpoint=path.with_name(_CHECKPOINT),
            float_checkpoint=path.with_name(_FLOAT_CHECKPOINT),
            accuracy=float(record["quantized"]["accuracy"]),
            float_accuracy=float(record["float"]["accuracy"]),
            seconds=float(record["seconds"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"cannot read {path}: {error}", remedy="write it with 'qdeploy train'"
        ) from error


def _fit(
    network: Network,
    dataset: Dataset,
    training: TrainingConfig,
    epochs: int,
    progress: Progress,
    name: str,
) -> list[Epoch]:
    """Adam on the cross entropy, learning rate falling to 0 along a cosine.

    Only the float network sees shifted images; on them the digits network with ternary weights
    reached a higher loss and no better accuracy in the same epochs.
    """
    shift = dataset.shift if network.config.weights == "float" else 0
    x, y = torch.from_numpy(dataset.x_train), torch.from_numpy(dataset.y_train)
    steps = math.ceil(len(x) / training.batch_size)
    optimizer = torch.optim.Adam(_parameter_groups(network, training.learning_rate))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    task = progress.add_task(name, total=epochs, state="")
    history = []
    for number in range(1, epochs + 1):
        network.train()
        total = 0.0
        for batch in torch.split(torch.randperm(len(x)), training.batch_size):
            images = _shifted(x[batch], shift)
            loss = nn.functional.cross_entropy(network(images), y[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        if not math.isfinite(total):
            raise UserError(
                f"the {name} network diverged in epoch {number} (loss {total})",
                remedy=f"lower training.learning_rate (now {training.learning_rate:g})",
            )
        if number == epochs:
            _estimate_statistics(network, torch.split(x, training.batch_size))
        epoch = Epoch(total / len(x), accuracy(network, dataset.x_test, dataset.y_test))
        history.append(epoch)
        state = f"loss {epoch.loss:.4f}  accuracy {epoch.accuracy:.2%}"
        progress.update(task, advance=1, state=state)
    return history


def _estimate_statistics(network: Network, batches: Sequence[Tensor]) -> None:
    """Set the means and variances of batch normalization to their averages over `batches`.

    The running ones lag behind: some codes flip to and fro until the last step (Nagel et al., ICML
    2022, "Overcoming oscillations in quantization-aware training").
    """
    layers = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momentum = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # plain average
    network.train()
    with torch.no_grad():
        for batch in batches:
            network(batch)
    for layer, value in zip(layers, momentum, strict=True):
        layer.momentum = value


def _shifted(images: Tensor, largest: int) -> Tensor:
    """Move each image [N, C, H, W] by up to `largest` pixels per axis; zeros come in."""
    count, _, height, width = images.shape
    padded = nn.functional.pad(images, (largest,) * 4)
    down, right = torch.randint(2 * largest + 1, (2, count, 1, 1))
    rows = down + torch.arange(height).reshape(1, -1, 1)
    columns = right + torch.arange(width).reshape(1, 1, -1)
    batch = torch.arange(count).reshape(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2)


def _parameter_groups(network: Network, learning_rate: float) -> list[dict[str, object]]:
    """Scales apart from the other parameters, with a learning rate of their own."""
    quantizers = [m for m in network.modules() if isinstance(m, SyqWeightQuantizer)]
    scales = {id(quantizer.scale) for quantizer in quantizers}
    others = [p for p in network.parameters() if id(p) not in scales]
    return [
        {"params": others, "lr": learning_rate},
        {"params": [q.scale for q in quantizers], "lr": learning_rate * SCALE_LEARNING_RATE},
    ]


def _record(history: list[Epoch]) -> dict[str, object]:
    return {"accuracy": history[-1].accuracy, "epochs": [asdict(epoch) for epoch in history]}


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """One thread and seeded random numbers; both are restored afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
