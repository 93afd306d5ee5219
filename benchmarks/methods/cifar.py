# SPDX-License-Identifier: Apache-2.0
"""SYQ's scales against Brevitas' quantizers with one scale per layer: CNV on CIFAR-10.

    python benchmarks/methods/cifar.py --json results.json    an hour on a core
    python benchmarks/methods/cifar.py --quick                a minute

CNV with half its channels on the first 20,000 images. One float network is trained, from which all
others start: binary weights and activations (w1a1), binary weights and 2-bit activations (w1a2),
ternary weights and 2-bit activations (wTa2), with SYQ's scale per kernel position, or Brevitas' own
quantizers: binary ones with the constant scale of FINN's networks, ternary ones with the mean
magnitude of a layer. All layers are quantized, the input has 8 bits. Everything else is equal: Adam
at 0.002 falling to 0 along a cosine, batches of 64, the float network on moved and mirrored images.
Loss of the training and test accuracy of each epoch, minutes of one processor; seed 0.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from rows import Row, Rows  # noqa: E402

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
    seed: int = 0


QUICK = Setting(channels=(4, 4, 8, 8), samples=1000, float_epochs=1, epochs=1)


class Experiment:
    """Data and training of all networks.

    Args:
        setting: see above.
        states: where an interrupted training goes on.
    """

    def __init__(self, setting: Setting, states: Path | None) -> None:
        self.setting, self.states = setting, states
        self.training = TrainingConfig(
            float_epochs=setting.float_epochs,
            epochs=setting.epochs,
            batch_size=setting.batch_size,
            learning_rate=setting.learning_rate,
            seed=setting.seed,
        )
        torch.set_num_threads(self.training.threads)
        data = datasets.load("cifar10", setting.samples)
        self.task = Classification(data, self.training)

    @cache  # noqa: B019 (there is one experiment)
    def float_network(self) -> tuple[Network, Row]:
        """The trained float network and its row."""
        torch.manual_seed(self.setting.seed)
        network = build_network(NetworkConfig(name="cnv", channels=self.setting.channels))
        return network, self._trained(network, "float", float_phases(self.training))

    def quantized(self, method: str, width: str) -> Row:
        """The row of a twin."""
        config = quantization_config(**METHODS[method], **WIDTHS[width])
        twin = quantize(self.float_network()[0], config)
        return self._trained(twin, f"{method}-{width}", phases(config, self.training))

    def _trained(self, network: Network, name: str, own: tuple[Phase, ...]) -> Row:
        started = time.process_time()
        state = None if self.states is None else self.states.with_suffix(f".{name}")
        with devices(self.training) as device, progress_bars() as progress:
            history = fit(network, self.task, own, device, progress, self.setting.seed, state)
        return {
            "loss": [epoch.loss for epoch in history],
            "accuracy": [epoch.metric for epoch in history],
            "minutes": (time.process_time() - started) / 60,
        }


def main() -> None:
    """Measure and print the curves."""
    parser = argparse.ArgumentParser(description="SYQ's scales on CIFAR-10.")
    parser.add_argument("--quick", action="store_true", help="a minute")
    parser.add_argument("--json", type=Path, help="file of results, beside which states are kept")
    arguments = parser.parse_args()
    setting = QUICK if arguments.quick else Setting()
    rows = Rows(arguments.json, asdict(setting))
    experiment = Experiment(setting, arguments.json)
    cases = {"float": lambda: experiment.float_network()[1]}
    for width in WIDTHS:
        for method in METHODS:
            cases[f"{width} {method}"] = partial(experiment.quantized, method, width)
    for name, case in cases.items():
        row = rows.measure(name, case)
        accuracies = " ".join(f"{100 * value:6.2f}" for value in row["accuracy"])
        losses = " ".join(f"{value:6.3f}" for value in row["loss"])
        print(f"{name:14} {row['minutes']:5.1f} min  accuracy % {accuracies}", flush=True)
        print(f"{'':14} {'':9}  loss       {losses}", flush=True)


if __name__ == "__main__":
    main()
