# SPDX-License-Identifier: Apache-2.0
"""Learned bit widths against uniform ones, at equal average bits and at equal LUTs.

    python benchmarks/methods/mixed.py --json results.json    20 to 30 minutes of a core
    python benchmarks/methods/mixed.py --quick                a minute

LeNet-5 with half its channels on Fashion-MNIST, activations of 3 bits. All variants start from one
float network per seed and train for the same epochs with the same quantizer; uniform ones do not
search. A network with learned widths may cost what the uniform one of 3 or 4 bits costs; beside the
uniform one of 2 bits, which is the smallest, half of what the next bit would on top. LUTs are those
of the folded accelerator at 5,000 frames per second by the resource model, block RAMs and DSP
slices as the LUTs of their share of the board.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from rows import Row, Rows, spread  # noqa: E402

from qdeploy.networks import NetworkConfig, build_network  # noqa: E402
from qdeploy.networks.network import Network  # noqa: E402
from qdeploy.quantizers.config import FractionalBitsConfig  # noqa: E402
from qdeploy.quantizers.fractional_bits.solvers import interpolated_cost  # noqa: E402
from qdeploy.quantizers.quantize import quantize  # noqa: E402
from qdeploy.training import datasets  # noqa: E402
from qdeploy.training.budgets import fractional_layers, layer_costs  # noqa: E402
from qdeploy.training.config import TrainingConfig  # noqa: E402
from qdeploy.training.devices import devices  # noqa: E402
from qdeploy.training.fitting import fit, progress_bars  # noqa: E402
from qdeploy.training.fractional_bits import fractional_bits_phases  # noqa: E402
from qdeploy.training.methods import float_phases  # noqa: E402
from qdeploy.training.phases import Phase  # noqa: E402
from qdeploy.training.task import Classification  # noqa: E402

UNIFORM = (2, 3, 4)
FPS = 5_000
BUDGETS = ("bits", "luts")
AMPLE = 1e6
# Of what the next bit would cost, on top of the uniform network's.
EXTRA = {2: 0.5, 3: 0.0, 4: 0.0}


@dataclass(frozen=True)
class Setting:
    """How long, and how often."""

    channels: tuple[int, ...] = (10, 25, 250)
    samples: int = 10_000
    float_epochs: int = 4
    epochs: int = 6
    seeds: int = 2


QUICK = Setting(channels=(3, 4, 8), samples=1000, float_epochs=1, epochs=2, seeds=1)


def budget_config(budget: str, amount: float = AMPLE) -> FractionalBitsConfig:
    """Table [quantization]."""
    return FractionalBitsConfig.model_validate(
        {
            "method": "fractional-bits",
            "budget": budget,
            "amount": amount,
            "activations": 3,
            "fps": FPS,
        }
    )


class Experiment:
    """One seed: the float network, and what its layers cost."""

    def __init__(self, seed: int, setting: Setting) -> None:
        self.training = TrainingConfig(
            float_epochs=setting.float_epochs,
            epochs=setting.epochs,
            learning_rate=2e-3,
            augmentation="none",
            seed=seed,
        )
        data = datasets.load("fashion-mnist", setting.samples)
        self.task = Classification(data, self.training)
        torch.manual_seed(seed)
        self.plain = build_network(NetworkConfig(name="lenet5", channels=setting.channels))
        with devices(self.training) as device, progress_bars() as progress:
            fit(self.plain, self.task, float_phases(self.training), device, progress, seed)
        self.example = torch.zeros(1, *self.plain.input_shape)
        self.costs: dict[str, torch.Tensor] = {}
        self.rest: dict[str, float] = {}  # what all but the weights costs
        for budget in BUDGETS:
            twin = quantize(self.plain, budget_config(budget))
            twin(torch.rand(8, *self.plain.input_shape))  # statistics of batch normalization
            self.costs[budget], left = layer_costs(twin, budget_config(budget), self.example)
            self.rest[budget] = AMPLE - left

    def uniform(self, bits: int) -> Row:
        """All layers with so many bits."""
        config = budget_config("bits")
        twin = quantize(self.plain, config)
        phase = fractional_bits_phases(config, self.training, self.example)[1]

        def begin(network: nn.Module) -> None:
            for quantizer in fractional_layers(network).values():
                quantizer.bits.data.fill_(bits)

        whole = replace(phase, begin=begin, epochs=self.training.epochs)
        return self._trained(twin, (whole,))

    def mixed(self, budget: str, bits: int) -> Row:
        """Learned widths within what `bits` for all layers cost, and `EXTRA`."""
        costs = self.costs[budget].sum(dim=0)
        extra = EXTRA[bits] * (costs[bits - 1] - costs[bits - 2])
        amount = float(costs[bits - 2] + extra) + self.rest[budget]
        config = budget_config(budget, amount)
        phases = fractional_bits_phases(config, self.training, self.example)
        return self._trained(quantize(self.plain, config), phases)

    def _trained(self, twin: Network, phases: Sequence[Phase]) -> Row:
        started = time.monotonic()
        with devices(self.training) as device, progress_bars() as progress:
            history = fit(twin, self.task, phases, device, progress, self.training.seed)
        widths = [int(quantizer.bits) for quantizer in fractional_layers(twin).values()]
        spent = {
            budget: float(interpolated_cost(torch.tensor(widths, dtype=torch.float), costs))
            + self.rest[budget]
            for budget, costs in self.costs.items()
        }
        return {
            "accuracy": history[-1].metric,
            "widths": widths,
            **spent,
            "seconds": round(time.monotonic() - started, 1),
        }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Learned against uniform bit widths.")
    parser.add_argument("--quick", action="store_true", help="a minute")
    parser.add_argument("--json", type=Path, help="file of results; rows in it are not run again")
    arguments = parser.parse_args()
    setting = QUICK if arguments.quick else Setting()
    rows = Rows(arguments.json, asdict(setting))
    experiment = cache(lambda seed: Experiment(seed, setting))
    cases: dict[str, Callable[[Experiment], Row]] = {}
    for bits in UNIFORM:
        cases[f"uniform {bits}"] = partial(Experiment.uniform, bits=bits)
        for budget in BUDGETS:
            name = f"learned, {budget} of {bits + EXTRA[bits]:g}"
            cases[name] = partial(Experiment.mixed, budget=budget, bits=bits)
    print(f"{'widths':28}{'accuracy %':>16}{'bits':>7}{'LUTs':>9}{'minutes':>9}  widths of seed 0")
    for name, case in cases.items():
        measured = [
            rows.measure(f"{name} {seed}", lambda case=case, seed=seed: case(experiment(seed)))
            for seed in range(setting.seeds)
        ]
        accuracy = spread([row["accuracy"] for row in measured], 100)
        bits, luts = (statistics.mean(row[budget] for row in measured) for budget in BUDGETS)
        minutes = sum(row["seconds"] for row in measured) / 60
        print(
            f"{name:28}{accuracy:>16}{bits:7.2f}{luts:9,.0f}{minutes:9.1f}  {measured[0]['widths']}"
        )


if __name__ == "__main__":
    main()
