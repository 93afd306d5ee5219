# SPDX-License-Identifier: Apache-2.0
"""Small digits networks trained by methods whose weights are sums of bases, and their files."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress

from qdeploy.cpu import Session, pack
from qdeploy.exporter import export_qonnx
from qdeploy.integer import IntegerNetwork, run
from qdeploy.lowering import lower
from qdeploy.networks import NetworkConfig, build_network
from qdeploy.quantizers.config import quantization_config
from qdeploy.quantizers.quantize import quantize
from qdeploy.training import datasets
from qdeploy.training.config import TrainingConfig
from qdeploy.training.devices import devices
from qdeploy.training.fitting import fit
from qdeploy.training.methods import float_phases, phases
from qdeploy.training.phases import Phase
from qdeploy.training.resumption import Epoch
from qdeploy.training.task import Classification

TRAINING = TrainingConfig(float_epochs=6, epochs=8, batch_size=32, learning_rate=0.02)


def float_network(channels: tuple[int, int]) -> torch.nn.Module:
    network = build_network(NetworkConfig(channels=channels))
    fitted(network, float_phases(TRAINING))
    return network


def twin(
    network: torch.nn.Module, training: TrainingConfig = TRAINING, **values: Any
) -> tuple[torch.nn.Module, tuple[Phase, ...]]:
    """The quantized network and its phases."""
    config = quantization_config(**values)
    return quantize(network, config), phases(config, training, torch.zeros(1, 1, 8, 8))


def fitted(network: torch.nn.Module, own: tuple[Phase, ...]) -> list[Epoch]:
    task = Classification(datasets.load("digits", 640), TRAINING)
    with devices(TRAINING) as device, Progress(disable=True) as progress:
        return fit(network, task, own, device, progress)


def checked_file(network: torch.nn.Module, folder: Path) -> IntegerNetwork:
    """Exported, lowered and packed, it computes what it computes in torch."""
    x = datasets.load("digits").x_test[:64]
    export_qonnx(network, torch.zeros(1, *x.shape[1:]), folder / "net.onnx")
    integers = lower(folder / "net.onnx")
    result = run(integers, x)
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(integers.real_output(result), expected, atol=1e-4)
    pack(integers, folder / "cpu.onnx")
    assert np.array_equal(Session(folder / "cpu.onnx").run_integers(x), result)
    return integers
