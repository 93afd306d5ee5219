# SPDX-License-Identifier: Apache-2.0
"""SYQ's scales against Brevitas' quantizers with one scale per layer: CNV on CIFAR-10.

    python benchmarks/methods/cifar.py --json results.json    an hour and a half on a core
    python benchmarks/methods/cifar.py --quick                a minute
    python benchmarks/methods/cifar.py --whole --json w.json  all channels and images, on a GPU

CNV with half its channels on the first 20,000 images. For every seed one float network is trained,
from which all others start: binary weights and activations (w1a1), binary weights and 2-bit
activations (w1a2), ternary weights and 2-bit activations (wTa2), with SYQ's scale per kernel
position, or Brevitas' own quantizers: binary ones with the constant scale of FINN's networks,
ternary ones with the mean magnitude of a layer. All layers are quantized, the input has 8 bits.
Everything else is equal: Adam at 0.002 falling to 0 along a cosine, batches of 64, the float
network on moved and mirrored images. Loss of the training and test accuracy of each epoch, mean
and deviation of 2 seeds, minutes of one processor; --picture draws the curves.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from rows import Row, Rows, spread  # noqa: E402

from qdeploy.networks import NetworkConfig, build_network  # noqa: E402
from qdeploy.networks.network import Network  # noqa: E402
from qdeploy.quantizers.config import quantization_config  # noqa: E402
from qdeploy.quantizers.quantize import quantize  # noqa: E402
from qdeploy.training import datasets  # noqa: E402
from qdeploy.training.config import TrainingConfig  # noqa: E402
from qdeploy.training.devices import devices  # noqa: E402
from qdeploy.training.fitting import fit, progress_bars  # noqa: E402
from qdeploy.training.methods import float_phases, phases  # noqa: E402
from qdeploy.training.phases import Phase  # noqa: E402
from qdeploy.training.task import Classification  # noqa: E402

WIDTHS: dict[str, dict[str, Any]] = {
    "w1a1": {"weights": "binary", "activations": 1},
    "w1a2": {"weights": "binary", "activations": 2},
    "wTa2": {"weights": "ternary", "activations": 2},
}
METHODS: dict[str, dict[str, Any]] = {
    "SYQ": {"method": "syq", "granularity": "pixel"},
    "Brevitas": {"method": "brevitas"},
}


@dataclass(frozen=True)
class Setting:
    """See above."""

    channels: tuple[int, ...] = (32, 64, 128, 256)
    samples: int = 20_000
    float_epochs: int = 4
    epochs: int = 5
    batch_size: int = 64
    learning_rate: float = 0.002
    seeds: int = 2


QUICK = Setting(channels=(4, 4, 8, 8), samples=1000, float_epochs=1, epochs=1, seeds=1)
WHOLE = Setting(channels=(64, 128, 256, 512), samples=50_000, float_epochs=30, epochs=40)


class Experiment:
    """Data and training of the networks of one seed.

    Args:
        setting: see above.
        seed: of parameters and order.
        states: where an interrupted training goes on.
    """

    def __init__(self, setting: Setting, seed: int, states: Path | None) -> None:
        self.setting, self.states = setting, states
        self.training = TrainingConfig(
            float_epochs=setting.float_epochs,
            epochs=setting.epochs,
            batch_size=setting.batch_size,
            learning_rate=setting.learning_rate,
            seed=seed,
        )
        torch.set_num_threads(self.training.threads)
        self.task = Classification(datasets.load("cifar10", setting.samples), self.training)

    @cached_property
    def trained_float(self) -> tuple[Network, Row]:
        """The float network and its row."""
        torch.manual_seed(self.training.seed)
        network = build_network(NetworkConfig(name="cnv", channels=self.setting.channels))
        return network, self._trained(network, "float", float_phases(self.training))

    def row(self, case: str) -> Row:
        """The row of "float", or of a twin: a width and a method of the tables above."""
        if case == "float":
            return self.trained_float[1]
        width, method = case.split()
        config = quantization_config(**METHODS[method], **WIDTHS[width])
        twin = quantize(self.trained_float[0], config)
        own = phases(config, self.training, torch.zeros(1, *twin.input_shape))
        return self._trained(twin, f"{method}-{width}", own)

    def _trained(self, network: Network, name: str, own: tuple[Phase, ...]) -> Row:
        started, seed = time.process_time(), self.training.seed
        state = None if self.states is None else self.states.with_suffix(f".{name}-{seed}")
        with devices(self.training) as device, progress_bars() as progress:
            history = fit(network, self.task, own, device, progress, seed, state)
        return {
            "loss": [epoch.loss for epoch in history],
            "accuracy": [epoch.metric for epoch in history],
            "minutes": (time.process_time() - started) / 60,
        }


def curves(measured: dict[str, list[Row]], path: Path) -> None:
    """Draw test accuracy and loss of each epoch, their mean and their range over the seeds."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, key, factor, title in (
        (left, "accuracy", 100, "test accuracy %"),
        (right, "loss", 1, "training loss"),
    ):
        for width, color in zip(WIDTHS, ("tab:red", "tab:blue", "tab:green"), strict=True):
            for method, style in zip(METHODS, ("-", "--"), strict=True):
                name = f"{width} {method}"
                values = factor * np.array([row[key] for row in measured[name]])
                epochs = range(1, values.shape[1] + 1)
                axes.plot(epochs, values.mean(0), style, color=color, label=name)
                axes.fill_between(epochs, values.min(0), values.max(0), color=color, alpha=0.12)
        axes.set(title=title, xlabel="epoch", xticks=epochs)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.savefig(path)


def main() -> None:
    """Measure, print the table, and draw the curves."""
    parser = argparse.ArgumentParser(description="SYQ's scales on CIFAR-10.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a minute")
    size.add_argument("--whole", action="store_true", help="all channels and images, for a GPU")
    parser.add_argument("--json", type=Path, help="file of results, beside which states are kept")
    parser.add_argument("--picture", type=Path, help="file of the curves, .svg or .png")
    arguments = parser.parse_args()
    setting = QUICK if arguments.quick else WHOLE if arguments.whole else Setting()
    rows = Rows(arguments.json, asdict(setting))
    cases = ["float", *(f"{width} {method}" for width in WIDTHS for method in METHODS)]
    measured: dict[str, list[Row]] = {case: [] for case in cases}
    for seed in range(setting.seeds):
        experiment = Experiment(setting, seed, arguments.json)
        for case in cases:
            row = rows.measure(f"{case} {seed}", partial(experiment.row, case))
            measured[case].append(row)
    for case, seeds in measured.items():
        epochs = zip(*(row["accuracy"] for row in seeds), strict=True)
        accuracies = " ".join(f"{spread(epoch, 100, 1):>12}" for epoch in epochs)
        loss = spread([row["loss"][-1] for row in seeds])
        minutes = sum(row["minutes"] for row in seeds)
        print(f"{case:14} {minutes:5.1f} min  accuracy % {accuracies}  loss {loss}")
    if arguments.picture is not None:
        curves(measured, arguments.picture)


if __name__ == "__main__":
    main()
