# SPDX-License-Identifier: Apache-2.0
"""Words of the Penn Treebank with 1-bit LSTM weights by iterative retraining.

    python benchmarks/methods/ptb.py --json results.json    ten minutes on a core
    python benchmarks/methods/ptb.py --whole --json results.json    all words: an hour
    python benchmarks/methods/ptb.py --quick    a minute, on the built-in phrases

Lee & Kim (arXiv 1805.11233): a float network is trained, its LSTM weights are quantized to one bit
per weight and a scale per row, and from there it is trained in full precision again, round after
round. Here one layer of 200 units with dropout of 0.2, the first 150,000 words in sequences of 35,
4 epochs in batches of 20 before and 3 rounds of one epoch each (all 929,589 words and 6 rounds with
--whole), Adam at 0.002 along a cosine, in the rounds at 0.0001; seed 0. Minutes are those of one
processor. Test perplexity per word with the state carried on; embedding and decoder are float. The
last rows compare networks on sequences from a state of zeros: float activations, and the integer
network with 8-bit activations, embedding and decoder.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch

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
    rounds: int = 3
    learning_rate: float = 0.002
    round_learning_rate: float = 0.0001
    bits: int = 1
    evaluated: int = 10_000  # words, for the integer network
    threads: int = 1
    seed: int = 0


WHOLE = Setting(words=929_589, rounds=6)
QUICK = Setting(
    text="phrases",
    words=10_000,
    units=32,
    float_epochs=2,
    rounds=3,
    learning_rate=0.01,
    round_learning_rate=0.01,
    evaluated=2000,
    threads=1,
)


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

    def train(phases, name: str) -> list[float]:
        state = None if states is None else states.with_suffix(f".{name}")
        with devices(training) as device, progress_bars() as progress:
            history = fit(network, task, phases, device, progress, setting.seed, state)
        return [epoch.metric for epoch in history]

    row: Row = {"float": train(float_phases(training), "float")[-1]}
    plain = network.lstm
    network.lstm = QuantizedLstm(plain, lambda _: quantizer, None)
    row["quantized once"] = task.evaluate(network)
    config = RetrainingConfig(method="retraining", bits=setting.bits, rounds=setting.rounds)
    slower = training.model_copy(update={"learning_rate": setting.round_learning_rate})
    rounds = train(retraining_phases(config, slower), "rounds")
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
    parser.add_argument("--json", type=Path, help="file of results, beside which states are kept")
    arguments = parser.parse_args()
    setting = QUICK if arguments.quick else WHOLE if arguments.whole else Setting()
    torch.set_num_threads(setting.threads)
    rows = Rows(arguments.json, asdict(setting))
    text = load_text(setting.text)
    text = replace(text, train=text.train[: setting.words])
    row = rows.measure("1 bit", partial(measure, text, setting, arguments.json))
    for name, value in row.items():
        print(f"{name:30}{value:10.2f}" if isinstance(value, float) else f"{name:30}{value!s:>10}")


if __name__ == "__main__":
    main()
