# SPDX-License-Identifier: Apache-2.0
"""Training by a recipe: a float network first, then its quantized twin from its parameters."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from qdeploy.errors import UserError
from qdeploy.files import atomic_file, cache_folder, content_hash
from qdeploy.networks import NetworkConfig, build_network
from qdeploy.quantizers.bits import average_bits
from qdeploy.quantizers.config import QuantizationConfig
from qdeploy.quantizers.quantize import quantize
from qdeploy.stages import code_path
from qdeploy.training import checkpoint, datasets
from qdeploy.training.config import DataConfig, TrainingConfig
from qdeploy.training.datasets import Dataset
from qdeploy.training.devices import devices, is_first
from qdeploy.training.fitting import fit, progress_bars
from qdeploy.training.methods import float_phases, phases
from qdeploy.training.resumption import Epoch
from qdeploy.training.task import Classification

_CHECKPOINT = "network.safetensors"
_FLOAT_CHECKPOINT = "float.safetensors"
_RECORD = "training.json"


@dataclass(frozen=True)
class TrainingResult:
    """What `train` wrote.

    Attributes:
        checkpoint: network.safetensors, the quantized network.
        float_checkpoint: float.safetensors.
        accuracy: of the quantized network on the test set, 0 .. 1.
        float_accuracy: of the float network.
        average_bits: of the weights, None if they are float.
        seconds: wall time of both trainings.
    """

    checkpoint: Path
    float_checkpoint: Path
    accuracy: float
    float_accuracy: float
    average_bits: float | None
    seconds: float


def train(
    data: DataConfig,
    network: NetworkConfig,
    quantization: QuantizationConfig,
    training: TrainingConfig,
    directory: Path,
) -> TrainingResult:
    """Train the float network, then the quantized one from its parameters; shows progress.

    Writes network.safetensors, float.safetensors and training.json (accuracies, losses of all
    epochs, configuration, seconds) into `directory`. The caller's random state and number of
    threads are kept. Interrupted, the same call goes on after the last finished epoch. Under
    `torchrun` each process takes its share of every batch and writes into its own `directory`.

    Raises:
        UserError: if network and data do not belong together, training diverges, or data or a CUDA
            device are missing.
    """
    started = time.monotonic()
    dataset = datasets.load(data.dataset, data.samples)
    network = _for_data(network, dataset)
    task = Classification(dataset, training)
    state = _state_file(data, network, quantization, training)
    float_state, quantized_state = (state.with_name(f"{state.name}.{n}") for n in ("float", "own"))
    with _reproducible(training), devices(training) as device, progress_bars() as progress:
        plain = build_network(network)
        start = fit(
            plain, task, float_phases(training), device, progress, training.seed, float_state
        )
        twin = quantize(plain, quantization)
        own = phases(quantization, training, next(task.inputs())[:1])
        history = fit(twin, task, own, device, progress, training.seed, quantized_state)
        before = start[-1].metric if start else task.evaluate(plain)
    record = {
        "data": data.model_dump(),
        "network": network.model_dump(),
        "quantization": quantization.model_dump(),
        "training": training.model_dump(),
        "seconds": round(time.monotonic() - started, 3),
        "average_bits": average_bits(twin),
        "float": {"accuracy": before, "epochs": _record(start)},
        "quantized": {"accuracy": history[-1].metric, "epochs": _record(history)},
    }
    checkpoint.save(twin, directory / _CHECKPOINT)
    checkpoint.save(plain, directory / _FLOAT_CHECKPOINT)
    with atomic_file(directory / _RECORD) as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n")
    if is_first():  # the one that wrote them
        for file in (float_state, quantized_state):
            file.unlink(missing_ok=True)
    return load_training_result(directory)


def _for_data(network: NetworkConfig, dataset: Dataset) -> NetworkConfig:
    """The network with as many tokens as the text has."""
    is_text = dataset.x_train.dtype == np.int64
    if network.reads_text != is_text:
        raise UserError(
            f"{network.name} reads {'text' if network.reads_text else 'images'}, the data are none",
            remedy="choose another data.dataset or network.name",
        )
    if not is_text:
        return network
    return network.model_copy(update={"vocabulary": len(dataset.class_names)})


def load_training_result(directory: Path) -> TrainingResult:
    """What `train` wrote into `directory`.

    Raises:
        UserError: if there is no training.json, or not one of ours.
    """
    path = Path(directory) / _RECORD
    try:
        record = json.loads(path.read_text())
        bits = record["average_bits"]
        return TrainingResult(
            checkpoint=path.with_name(_CHECKPOINT),
            float_checkpoint=path.with_name(_FLOAT_CHECKPOINT),
            accuracy=float(record["quantized"]["accuracy"]),
            float_accuracy=float(record["float"]["accuracy"]),
            average_bits=None if bits is None else float(bits),
            seconds=float(record["seconds"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"cannot read {path}: {error}", remedy="write it with 'qdeploy train'"
        ) from error


def _state_file(
    data: DataConfig,
    network: NetworkConfig,
    quantization: QuantizationConfig,
    training: TrainingConfig,
) -> Path:
    """In the user's cache, by the hash of the recipe and of the code that trains."""
    parts = [config.model_dump_json() for config in (data, network, quantization, training)]
    parts += [content_hash(code_path(name)) for name in quantization.training_code]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return cache_folder("training") / key


def _record(history: Sequence[Epoch]) -> list[dict[str, object]]:
    return [asdict(epoch) for epoch in history]


@contextmanager
def _reproducible(training: TrainingConfig) -> Iterator[None]:
    """The recipe's threads and seeded random numbers; both are restored afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(training.threads)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            yield
    finally:
        torch.set_num_threads(threads)
