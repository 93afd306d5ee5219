# SPDX-License-Identifier: Apache-2.0
"""Which bases ALQ removes: those the loss wants least, the smallest, or as many in every layer.

    python benchmarks/methods/alq_pruning.py --json results.json    a quarter of an hour on a core
    python benchmarks/methods/alq_pruning.py --quick                a minute

LeNet-5 with 5, 25 and 50 channels on the first 5,000 images of Fashion-MNIST, activations of 2
bits. All groups have 25 weights (kernels of 5 x 5, pieces of rows), so that as many bases are as
many bits, and start with two bases. All variants start from one float network per seed and train
for the same epochs: 4 rounds of 2 epochs of bases, 1 of coordinates, 1 of pruning, no fine-tuning.
"loss" ranks bases across all layers by the model of the loss (Qu et al., CVPR 2020), "smallest
scale" across all layers by their scales, "every layer" removes the smallest scales of each layer in
equal shares. Test accuracy of the last epoch, mean and deviation of 3 seeds.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from rows import Row, Rows, spread  # noqa: E402

from qdeploy.networks import NetworkConfig, build_network  # noqa: E402
from qdeploy.networks.network import Network  # noqa: E402
from qdeploy.quantizers.alq.quantizer import AlqQuantizer  # noqa: E402
from qdeploy.quantizers.bits import average_bits  # noqa: E402
from qdeploy.quantizers.config import AlqConfig  # noqa: E402
from qdeploy.quantizers.quantize import quantize  # noqa: E402
from qdeploy.training import datasets  # noqa: E402
from qdeploy.training.alq import Pruning, alq_phases, loss_aware_costs  # noqa: E402
from qdeploy.training.config import TrainingConfig  # noqa: E402
from qdeploy.training.devices import devices  # noqa: E402
from qdeploy.training.fitting import fit, progress_bars  # noqa: E402
from qdeploy.training.methods import float_phases  # noqa: E402
from qdeploy.training.phases import Phase  # noqa: E402
from qdeploy.training.task import Classification  # noqa: E402

PRUNING = (0.35, 0.5)  # a round leaves exp(-p) of the bases
CHANNELS = (5, 25, 50)
PIECES = {"classifier.0": 16, "classifier.3": 2}


def smallest_scale(quantizer: AlqQuantizer, optimizer: Optimizer) -> Tensor:
    """The scales."""
    return quantizer.scales.detach()


def every_layer(quantizer: AlqQuantizer, optimizer: Optimizer) -> Tensor:
    """The share of the layer's bases that is gone with this one and all smaller ones."""
    scales = quantizer.scales.detach()
    rank = torch.empty(scales.numel())
    rank[scales.flatten().argsort()] = torch.arange(1, scales.numel() + 1, dtype=torch.float)
    return (rank / scales.numel()).reshape(scales.shape)


CRITERIA: dict[str, Callable[[AlqQuantizer, Optimizer], Tensor]] = {
    "loss": loss_aware_costs,
    "smallest scale": smallest_scale,
    "every layer": every_layer,
}


@dataclass(frozen=True)
class Setting:
    """See above."""

    samples: int = 5000
    float_epochs: int = 4
    epochs: int = 12
    seeds: int = 3


QUICK = Setting(samples=500, float_epochs=1, seeds=1)


class Experiment:
    """One seed: the float network, and its twins."""

    def __init__(self, seed: int, setting: Setting) -> None:
        self.training = TrainingConfig(
            float_epochs=setting.float_epochs,
            epochs=setting.epochs,
            learning_rate=5e-3,
            batch_size=128,
            augmentation="none",
            seed=seed,
        )
        torch.set_num_threads(self.training.threads)
        data = datasets.load("fashion-mnist", setting.samples)
        self.task = Classification(data, self.training)
        torch.manual_seed(seed)
        self.plain = build_network(NetworkConfig(name="lenet5", channels=CHANNELS))
        self._fit(self.plain, float_phases(self.training))

    def row(self, criterion: str, pruning: float) -> Row:
        """Train a twin."""
        started = time.process_time()
        config = AlqConfig(
            method="alq",
            structure="kernelwise",
            layers={name: {"pieces": pieces} for name, pieces in PIECES.items()},
            bits=2,
            rounds=4,
            pruning=pruning,
            activations=2,
            fine_tuning=False,
        )
        twin = quantize(self.plain, config)
        own = []
        for phase in alq_phases(config, self.training):
            if phase.name == "prune":
                cut = Pruning(math.exp(-pruning), CRITERIA[criterion])
                phase = replace(  # noqa: PLW2901
                    phase, begin=cut.begin, after_step=cut.after_step
                )
            own.append(phase)
        accuracy = self._fit(twin, own)
        seconds = round(time.process_time() - started, 1)
        return {"accuracy": accuracy, "bits": average_bits(twin), "seconds": seconds}

    def _fit(self, network: Network, own: list[Phase] | tuple[Phase, ...]) -> float:
        with devices(self.training) as device, progress_bars() as progress:
            history = fit(network, self.task, own, device, progress, self.training.seed)
        return history[-1].metric


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Criteria of removing ALQ's bases.")
    parser.add_argument("--quick", action="store_true", help="a minute")
    parser.add_argument("--json", type=Path, help="file of results; rows in it are not run again")
    arguments = parser.parse_args()
    setting = QUICK if arguments.quick else Setting()
    rows = Rows(arguments.json, asdict(setting))
    experiment = cache(lambda seed: Experiment(seed, setting))
    print(f"{'removed by':16}{'pruning':>8}{'bits':>7}{'accuracy %':>16}{'minutes':>9}")
    for pruning in PRUNING:
        for criterion in CRITERIA:
            measured = [
                rows.measure(
                    f"{criterion} {pruning} {seed}",
                    lambda c=criterion, p=pruning, s=seed: experiment(s).row(c, p),
                )
                for seed in range(setting.seeds)
            ]
            bits = statistics.mean(row["bits"] for row in measured)
            accuracy = spread([row["accuracy"] for row in measured], 100)
            minutes = sum(row["seconds"] for row in measured) / 60
            print(f"{criterion:16}{pruning:8}{bits:7.3f}{accuracy:>16}{minutes:9.1f}", flush=True)


if __name__ == "__main__":
    main()
