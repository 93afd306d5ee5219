# SPDX-License-Identifier: Apache-2.0
"""Quantized weights of fully connected networks on MNIST and Fashion-MNIST, over three seeds.

    python benchmarks/methods/mlp.py --json results.json    half an hour on a core
    python benchmarks/methods/mlp.py --quick                a minute
    python benchmarks/methods/mlp.py --paper --json p.json  the paper's size: hours, on a GPU

Loss-aware weights (Hou & Kwok, ICLR 2018), SYQ's and Brevitas' own, all trained the same way: from
random parameters, Adam at 0.01 falling to 0 along a cosine, batches of 100, squared hinge loss,
batch normalization behind every layer, all layers quantized. Activations have 8 bits, those of the
float network are float. Test accuracy of the last epoch, mean and deviation over the seeds; minutes
of one processor.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from rows import Row, Rows, spread  # noqa: E402

from qdeploy.networks.config import NetworkConfig  # noqa: E402
from qdeploy.quantizers.config import quantization_config  # noqa: E402
from qdeploy.training import train  # noqa: E402
from qdeploy.training.config import DataConfig, TrainingConfig  # noqa: E402

DATASETS = ("mnist", "fashion-mnist")
METHODS: dict[str, dict[str, Any]] = {
    "float": {"weights": "float", "activations": None, "input_bits": None},
    "Brevitas binary": {"method": "brevitas", "weights": "binary"},
    "Brevitas ternary": {"method": "brevitas", "weights": "ternary"},
    "SYQ binary": {"method": "syq", "weights": "binary"},
    "SYQ ternary": {"method": "syq", "weights": "ternary"},
    "LAB": {"method": "laq", "weights": "binary"},
    "LAT exact": {"method": "laq", "weights": "ternary", "solver": "exact"},
    "LAT": {"method": "laq", "weights": "ternary"},
    "LAT2": {"method": "laq", "weights": "two-scale"},
    "LAQ 3 linear": {"method": "laq", "weights": "linear", "bits": 3},
    "LAQ 3 logarithmic": {"method": "laq", "weights": "logarithmic", "bits": 3},
    "LAQ 4 linear": {"method": "laq", "weights": "linear", "bits": 4},
    "LAQ 4 logarithmic": {"method": "laq", "weights": "logarithmic", "bits": 4},
}


@dataclass(frozen=True)
class Setting:
    """The networks have three hidden layers of `units`."""

    units: int = 256
    samples: int = 20_000
    epochs: int = 6
    seeds: int = 3


QUICK = Setting(units=32, samples=2000, epochs=1, seeds=1)
PAPER = Setting(units=2048, samples=60_000, epochs=50)


def measure(dataset: str, method: str, seed: int, setting: Setting) -> Row:
    """Train one network."""
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        result = train(
            DataConfig(dataset=dataset, samples=setting.samples),
            NetworkConfig(name="laq_mlp", channels=(setting.units,) * 3),
            quantization_config(**{"activations": 8} | METHODS[method]),
            TrainingConfig(
                float_epochs=0,
                epochs=setting.epochs,
                batch_size=100,
                learning_rate=0.01,
                loss="squared-hinge",
                augmentation="none",
                seed=seed,
            ),
            Path(folder),
        )
    return {"accuracy": result.accuracy, "seconds": round(time.process_time() - started, 1)}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Quantized weights of fully connected networks.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a minute")
    size.add_argument("--paper", action="store_true", help="784-2048x3-10, 50 epochs")
    parser.add_argument("--json", type=Path, help="file of results; rows in it are not run again")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    arguments = parser.parse_args()
    setting = QUICK if arguments.quick else PAPER if arguments.paper else Setting()
    rows = Rows(arguments.json, asdict(setting))
    lines = []
    for method in arguments.methods:
        line = f"{method:18}"
        for dataset in DATASETS:
            measured = [
                rows.measure(
                    f"{dataset} {method} {seed}", partial(measure, dataset, method, seed, setting)
                )
                for seed in range(setting.seeds)
            ]
            accuracy = spread([row["accuracy"] for row in measured], 100)
            minutes = sum(row["seconds"] for row in measured) / 60
            line += f"{accuracy:>18}{minutes:9.1f}"
        lines.append(line)
    print(f"{'method':18}" + "".join(f"{dataset + ' %':>18}{'minutes':>9}" for dataset in DATASETS))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
