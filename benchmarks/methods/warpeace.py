# SPDX-License-Identifier: Apache-2.0
"""Quantized weights of a character LSTM on War and Peace: loss-aware ones and what they beat.

    python benchmarks/methods/warpeace.py --json results.json    a quarter of an hour on a core
    python benchmarks/methods/warpeace.py --quick                a minute, on the built-in phrases
    python benchmarks/methods/warpeace.py --paper --json p.json  the paper's size, on a GPU;
                       with --epochs 4 instead of 200 20 minutes of a core for each method

The table of LAQ (Hou & Kwok, ICLR 2018) in a small setting: the first 330,000 characters of the
text, 10/11 for training; one layer of 128 units, one scale per gate and side, the decoder in
float; sequences of 50 steps from a state of zeros, 4 epochs in batches of 50, Adam at 0.005, times
0.6 per epoch; mean and deviation of 5 seeds. Cross entropy in nats per character on the rest of the
text, after the last epoch: of the quantized weights with everything else in float, and of the
integer network (8 bits for inputs, gates and hidden states, an 8-bit decoder), which is not trained
again. The paper's setting is 512 units, 100 steps, batches of 100, the whole text (80 % for
training, 10 % for test), 200 epochs at 0.002, times 0.98 per epoch after the tenth; not taken from
there are clipped gradients and the choice of the best epoch by validation.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from baselines import BinaryConnect, Bwn, Twn  # noqa: E402
from deployed import as_integers, deploy  # noqa: E402
from rows import Row, Rows, spread  # noqa: E402

from qdeploy.networks.lstm import CharacterLstm  # noqa: E402
from qdeploy.quantizers.loss_aware.optimizer import LossAwareAdam  # noqa: E402
from qdeploy.quantizers.loss_aware.weights import (  # noqa: E402
    LossAwareBinary,
    LossAwareLinear,
    LossAwareLogarithmic,
    LossAwareTernary,
    LossAwareTwoScales,
)
from qdeploy.quantizers.lstm import QuantizedLstm  # noqa: E402
from qdeploy.training.config import TrainingConfig  # noqa: E402
from qdeploy.training.devices import devices  # noqa: E402
from qdeploy.training.fitting import fit, progress_bars  # noqa: E402
from qdeploy.training.language import LanguageModeling  # noqa: E402
from qdeploy.training.phases import Phase  # noqa: E402
from qdeploy.training.text import Text, load_text  # noqa: E402

# With the authors' cross entropies for 512 units and 200 epochs (arXiv 1611.01600, table 3).
METHODS: dict[str, tuple[Any, float | None]] = {
    "BinaryConnect": (BinaryConnect, 2.942),
    "BWN": (Bwn, None),
    "LAB": (LossAwareBinary, 1.291),
    "TWN": (Twn, None),
    "LAT": (LossAwareTernary, None),
    "LAT2": (LossAwareTwoScales, None),
    "LAQ3 linear": (LossAwareLinear, None),
    "LAQ3 logarithmic": (LossAwareLogarithmic, None),
    "float": (None, 1.268),
}


@dataclass(frozen=True)
class Setting:
    """See above."""

    text: str = "warpeace"
    characters: int | None = 330_000  # all, in the text's own parts
    units: int = 128
    steps: int = 50
    batch: int = 50
    epochs: int = 4
    constant_epochs: int = 0  # at the first learning rate
    learning_rate: float = 0.005
    decay: float = 0.6
    seeds: int = 5


QUICK = Setting(text="phrases", characters=40_000, units=32, epochs=1, seeds=1)
PAPER = Setting(
    characters=None,
    units=512,
    steps=100,
    batch=100,
    epochs=200,
    constant_epochs=10,
    learning_rate=0.002,
    decay=0.98,
    seeds=1,
)


def shortened(text: Text, characters: int | None) -> Text:
    """The first characters, 10 of 11 for training and the others for test."""
    if characters is None:
        return text
    tokens = np.concatenate([text.train, text.validation, text.test])[:characters]
    train, test = np.split(tokens, [characters * 10 // 11])
    return replace(text, train=train, validation=test, test=test)


def clip(network: nn.Module, optimizer: torch.optim.Optimizer, done: float) -> None:
    """Real weights stay within -1..1, as in the authors' code for all methods."""
    with torch.no_grad():
        for module in network.modules():
            if hasattr(module, "weight_quant"):
                module.weight.clamp_(-1, 1)


def measure(method: str, seed: int, text: Text, setting: Setting, states: Path | None) -> Row:
    """Train one network, and run it as integers too.

    Args:
        method: of `METHODS`.
        seed: of parameters and order.
        text: of characters.
        setting: see above.
        states: where an interrupted training goes on.
    """
    quantizer, _ = METHODS[method]
    started = time.process_time()
    torch.manual_seed(seed)
    network = CharacterLstm(len(text.vocabulary), setting.units)
    plain = network.lstm
    if quantizer is not None:
        network.lstm = QuantizedLstm(plain, lambda _: quantizer, None)
    phase = Phase(
        name=method,
        epochs=setting.epochs,
        optimizer=partial(LossAwareAdam, lr=setting.learning_rate),
        schedule=lambda done: (
            setting.decay ** max(0, int(done * setting.epochs) - setting.constant_epochs)
        ),
        after_step=clip,
    )
    task = LanguageModeling(text, setting.steps, setting.batch)
    state = None if states is None else states.with_suffix(f".{method}-{seed}".replace(" ", "-"))
    with devices(TrainingConfig()) as device, progress_bars() as progress:
        history = fit(network, task, [phase], device, progress, seed, state)
    row: Row = {
        "cross_entropy": history[-1].metric,
        "epochs": [epoch.metric for epoch in history],
        "minutes": (time.process_time() - started) / 60,
    }
    if quantizer is not None:
        deploy(network, plain, quantizer)
        row |= as_integers(network, text.test, setting.steps)
    return row


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Quantized LSTM weights on War and Peace.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a minute, on built-in text")
    size.add_argument("--paper", action="store_true", help="512 units, 200 epochs, for a GPU")
    parser.add_argument("--epochs", type=int, help="fewer than these")
    parser.add_argument("--json", type=Path, help="file of results, beside which states are kept")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    arguments = parser.parse_args()
    setting = QUICK if arguments.quick else PAPER if arguments.paper else Setting()
    setting = replace(setting, epochs=arguments.epochs or setting.epochs)
    torch.set_num_threads(1)
    text = shortened(load_text(setting.text), setting.characters)
    rows = Rows(arguments.json, asdict(setting))
    print(f"{'method':18}{'here':>15}{'integers':>15}{'kB':>7}{'minutes':>9}{'paper':>7}")
    for method, (_, published) in METHODS.items():
        if method not in arguments.methods:
            continue
        measured = [
            rows.measure(
                f"{method} {seed}",
                partial(measure, method, seed, text, setting, arguments.json),
            )
            for seed in range(setting.seeds)
        ]
        integers = [row["integers"] for row in measured if "integers" in row]
        size = f"{measured[0]['bytes'] / 1000:.0f}" if integers else ""
        print(
            f"{method:18}{spread([row['cross_entropy'] for row in measured], digits=3):>15}"
            f"{spread(integers, digits=3) if integers else '':>15}{size:>7}"
            f"{sum(row['minutes'] for row in measured):9.1f}{published or '':>7}",
            flush=True,
        )
        if not all(row.get("equal_to_brevitas", True) for row in measured):
            print(f"{method}: integers and Brevitas differ", file=sys.stderr)


if __name__ == "__main__":
    main()
