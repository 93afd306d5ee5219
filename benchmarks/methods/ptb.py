# SPDX-License-Identifier: Apache-2.0
"""Words of the Penn Treebank with 1-bit LSTM weights by iterative retraining.

    python benchmarks/methods/ptb.py --json results.json    a quarter of an hour on a core
    python benchmarks/methods/ptb.py --whole --json results.json    all words: two hours
    python benchmarks/methods/ptb.py --rates 2 5 10 20 40    of the rounds, on validation words
    python benchmarks/methods/ptb.py --quick    a minute, on the built-in phrases

Lee & Kim (arXiv 1805.11233): a float network is trained, its LSTM weights are quantized to one bit
per weight and a scale per row, and from there it is trained in full precision again, round after
round. Here one layer of 200 units with dropout of 0.2, the first 150,000 words (all 929,589 with
--whole) in sequences of 35 and batches of 20: 4 epochs of Adam at 0.002, then 6 rounds of one epoch
each. The rounds use what language models usually train with, stochastic gradient descent with
clipped gradients (rate 20 falling to 0 along a cosine in every round, norm of at most 0.25);
"float, as long" is the float network trained on in the same way. Seed 0, minutes of one processor.
Test perplexity per word with the state carried on; embedding and decoder are float. The last rows
compare networks on sequences from a state of zeros: float activations, and the integer network with
8-bit activations, embedding and decoder.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.optim import SGD

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from deployed import as_integers, deploy  # noqa: E402
from rows import Row, Rows  # noqa: E402

from qdeploy.networks.lstm import WordLstm  # noqa: E402
from qdeploy.quantizers.config import RetrainingConfig  # noqa: E402
from qdeploy.quantizers.lstm import QuantizedLstm  # noqa: E402
from qdeploy.quantizers.multibit.quantizer import MultibitWeights  # noqa: E402
from qdeploy.training.config import TrainingConfig  # noqa: E402
from qdeploy.training.devices import devices  # noqa: E402
from qdeploy.training.fitting import fit, progress_bars  # noqa: E402
from qdeploy.training.language import LanguageModeling  # noqa: E402
from qdeploy.training.methods import float_phases  # noqa: E402
from qdeploy.training.phases import Phase  # noqa: E402
from qdeploy.training.retraining import retraining_phases  # noqa: E402
from qdeploy.training.text import Text, load_text  # noqa: E402


@dataclass(frozen=True)
class Setting:
    """See above."""

    text: str = "ptb"
    words: int = 150_000
    units: int = 200
    dropout: float = 0.2
    steps: int = 35
    batch: int = 20
    float_epochs: int = 4
    rounds: int = 6
    learning_rate: float = 0.002
    round_learning_rate: float = 20.0
    largest_norm: float = 0.25
    bits: int = 1
    evaluated: int = 10_000  # words, for the integer network
    threads: int = 1
    seed: int = 0


WHOLE = Setting(words=929_589)
QUICK = Setting(
    text="phrases",
    words=10_000,
    units=32,
    float_epochs=2,
    rounds=3,
    learning_rate=0.01,
    round_learning_rate=1.0,
    evaluated=2000,
    threads=1,
)


class ClippedDescent(SGD):
    """Stochastic gradient descent; all gradients together have a norm of at most `largest_norm`."""

    def __init__(
        self, parameters: list[nn.Parameter], learning_rate: float, largest_norm: float
    ) -> None:
        super().__init__(parameters, learning_rate)
        self.largest_norm = largest_norm

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Clip, and descend."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, self.largest_norm)
        super().step(closure)


def measure(text: Text, setting: Setting, states: Path | None) -> Row:
    """Perplexities of the float network, after each round, and of the integers.

    Args:
        text: of words.
        setting: see above.
        states: where an interrupted training goes on.
    """
    started = time.process_time()
    torch.manual_seed(setting.seed)
    network = WordLstm(len(text.vocabulary), setting.units, dropout=setting.dropout)
    task = LanguageModeling(text, setting.steps, setting.batch, "perplexity")
    training = TrainingConfig(
        float_epochs=setting.float_epochs,
        epochs=setting.rounds,
        learning_rate=setting.learning_rate,
        batch_size=setting.batch,
    )
    quantizer = MultibitWeights.let(bits=setting.bits)

    def train(network: WordLstm, phases: Sequence[Phase], name: str) -> list[float]:
        state = None if states is None else states.with_suffix(f".{name}")
        with devices(training) as device, progress_bars() as progress:
            history = fit(network, task, phases, device, progress, setting.seed, state)
        return [epoch.metric for epoch in history]

    row: Row = {"float": train(network, float_phases(training), "float")[-1]}
    algorithm = partial(ClippedDescent, largest_norm=setting.largest_norm)
    slower = training.model_copy(update={"learning_rate": setting.round_learning_rate})
    longer = Phase(
        name="float",
        epochs=setting.rounds,
        optimizer=lambda network: algorithm(
            list(network.parameters()), setting.round_learning_rate
        ),
    )
    row["float, as long"] = train(copy.deepcopy(network), [longer], "longer")[-1]
    plain = network.lstm
    network.lstm = QuantizedLstm(plain, lambda _: quantizer, None)
    row["quantized once"] = task.evaluate(network)
    config = RetrainingConfig(method="retraining", bits=setting.bits, rounds=setting.rounds)
    rounds = train(network, retraining_phases(config, slower, algorithm), "rounds")
    row |= {f"round {number}": value for number, value in enumerate(rounds[:-1], 1)}
    row["decoder and embedding trained"] = rounds[-1]
    test = text.test[: setting.evaluated]
    sequences = LanguageModeling(
        Text(text.train, test, test, text.vocabulary), setting.steps, setting.batch
    )
    row["short sequences"] = math.exp(sequences.evaluate(network))
    deploy(network, plain, quantizer)
    integers = as_integers(network, test, setting.steps)
    row["short sequences, integers"] = math.exp(integers.pop("integers"))
    return row | integers | {"minutes": (time.process_time() - started) / 60}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="1-bit LSTM weights on the Penn Treebank.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a minute, on built-in text")
    size.add_argument("--whole", action="store_true", help="all words, an hour")
    parser.add_argument("--rates", type=float, nargs="+", help="compare these of the rounds")
    parser.add_argument("--json", type=Path, help="file of results, beside which states are kept")
    arguments = parser.parse_args()
    setting = QUICK if arguments.quick else WHOLE if arguments.whole else Setting()
    torch.set_num_threads(setting.threads)
    rows = Rows(arguments.json, asdict(setting))
    text = load_text(setting.text)
    text = replace(text, train=text.train[: setting.words])
    for rate in arguments.rates or ():
        tried = replace(setting, round_learning_rate=rate)
        row = measure(replace(text, test=text.validation), tried, None)
        print(f"{rate:6g}{row['decoder and embedding trained']:10.2f}", flush=True)
    if arguments.rates:
        return
    row = rows.measure("1 bit", partial(measure, text, setting, arguments.json))
    for name, value in row.items():
        print(f"{name:30}{value:10.2f}" if isinstance(value, float) else f"{name:30}{value!s:>10}")


if __name__ == "__main__":
    main()
