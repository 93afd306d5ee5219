# SPDX-License-Identifier: Apache-2.0
"""Quantized weights of a character LSTM on War and Peace: loss-aware ones and what they beat.

    python benchmarks/methods/warpeace.py --json results.json      about 10 minutes on a core
    python benchmarks/methods/warpeace.py --quick                  a minute, on the built-in phrases

The table of LAQ (Hou & Kwok, ICLR 2018) in a small setting: the first 330,000 characters of the
text, 10/11 for training; one layer of 128 units, one scale per gate and side, the decoder in
float; sequences of 50 steps from a state of zeros, 4 epochs in batches of 50, Adam at 0.005, times
0.6 per epoch; seed 0. Cross entropy in nats per character on the rest of the text, after the last
epoch: of the quantized weights with everything else in float, and of the integer network (8 bits
for inputs, gates and hidden states, an 8-bit decoder), which is not trained again.
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
from rows import Row, Rows  # noqa: E402

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
from qdeploy.training.devices import Device  # noqa: E402
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
    characters: int = 330_000
    units: int = 128
    steps: int = 50
    batch: int = 50
    epochs: int = 4
    learning_rate: float = 0.005
    decay: float = 0.6
    seed: int = 0


QUICK = Setting(text="phrases", characters=40_000, units=32, epochs=1)


def shortened(text: Text, characters: int) -> Text:
    """The first characters, 10 of 11 for training and the others for test."""
    tokens = np.concatenate([text.train, text.validation, text.test])[:characters]
    train, test = np.split(tokens, [characters * 10 // 11])
    return replace(text, train=train, validation=test, test=test)


def clip(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Real weights stay within -1..1, as in the authors' code for all methods."""
    with torch.no_grad():
        for module in network.modules():
            if hasattr(module, "weight_quant"):
                module.weight.clamp_(-1, 1)


def measure(method: str, text: Text, setting: Setting) -> Row:
    """Train one network, and run it as integers too."""
    quantizer, _ = METHODS[method]
    started = time.monotonic()
    torch.manual_seed(setting.seed)
    network = CharacterLstm(len(text.vocabulary), setting.units)
    plain = network.lstm
    if quantizer is not None:
        network.lstm = QuantizedLstm(plain, lambda _: quantizer, None)
    phase = Phase(
        name=method,
        epochs=setting.epochs,
        optimizer=partial(LossAwareAdam, lr=setting.learning_rate),
        schedule=lambda done: setting.decay ** int(done * setting.epochs),
        after_step=clip,
    )
    task = LanguageModeling(text, setting.steps, setting.batch)
    with progress_bars() as progress:
        device = Device(torch.device("cpu"), 0, 1)
        history = fit(network, task, [phase], device, progress, setting.seed)
    row: Row = {"cross_entropy": history[-1].metric, "minutes": (time.monotonic() - started) / 60}
    if quantizer is not None:
        deploy(network, plain, quantizer)
        row |= as_integers(network, text.test, setting.steps)
    return row


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Quantized LSTM weights on War and Peace.")
    parser.add_argument("--quick", action="store_true", help="a minute, on built-in text")
    parser.add_argument("--json", type=Path, help="file of results; rows in it are not run again")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    arguments = parser.parse_args()
    setting = QUICK if arguments.quick else Setting()
    torch.set_num_threads(1)
    text = shortened(load_text(setting.text), setting.characters)
    rows = Rows(arguments.json, asdict(setting))
    print(f"{'method':18}{'here':>7}{'integers':>10}{'kB':>7}{'minutes':>9}{'paper':>7}")
    for method in arguments.methods:
        row = rows.measure(method, partial(measure, method, text, setting))
        integers = f"{row['integers']:.3f}" if "integers" in row else ""
        size = f"{row['bytes'] / 1000:.0f}" if "bytes" in row else ""
        print(
            f"{method:18}{row['cross_entropy']:7.3f}{integers:>10}{size:>7}"
            f"{row['minutes']:9.1f}{METHODS[method][1] or '':>7}",
            flush=True,
        )
        if not row.get("equal_to_brevitas", True):
            print(f"{method}: integers and Brevitas differ", file=sys.stderr)


if __name__ == "__main__":
    main()
