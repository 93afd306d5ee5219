# SPDX-License-Identifier: Apache-2.0
"""Small trainings of every method, and a program that does them in one of several processes.

RANK=0 WORLD_SIZE=2 MASTER_ADDR=... MASTER_PORT=... python shared_training.py FOLDER

It writes each into a folder of its own, with the parameters that the process had whenever those of
the first one were about to be given to all.
"""

import itertools
import os
import sys
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from safetensors.torch import save_file

from qdeploy.errors import UserError
from qdeploy.networks.config import NetworkConfig
from qdeploy.quantizers.config import QuantizationConfig, quantization_config
from qdeploy.training import fractional_bits, train
from qdeploy.training.budgets import fractional_layers
from qdeploy.training.config import DataConfig, TrainingConfig
from qdeploy.training.devices import Device
from qdeploy.training.task import Classification

IMAGES = DataConfig(samples=65), NetworkConfig(channels=(2, 3))
TEXT = DataConfig(dataset="phrases", samples=39), NetworkConfig(name="char_lstm", channels=(6,))


@dataclass(frozen=True)
class Training:
    """A recipe; its last batch has one sample more than full ones."""

    quantization: QuantizationConfig
    epochs: int = 4
    data: DataConfig = IMAGES[0]
    network: NetworkConfig = IMAGES[1]

    def run(self, folder, **options):
        """Train into a new folder."""
        folder.mkdir(exist_ok=True)
        values = {"float_epochs": 1, "epochs": self.epochs, "batch_size": 16} | options
        training = TrainingConfig(**values)
        return train(self.data, self.network, self.quantization, training, folder)


def _of(method, **options):
    return quantization_config(method=method, **options)


TRAININGS = {
    "syq": Training(_of("syq")),
    "laq": Training(_of("laq", weights="two-scale")),
    "retraining": Training(_of("retraining", rounds=2, pruned=0.2)),
    "alq": Training(_of("alq", bits=2, rounds=1), epochs=8),
    "multibit activations": Training(
        _of("alq", bits=2, rounds=1, fine_tuning=False, activation_levels="multibit")
    ),
    "bits": Training(_of("fractional-bits", amount=4.0)),
    "luts": Training(_of("fractional-bits", budget="luts", amount=10.0)),
    "lstm": Training(_of("laq", activations=None), 2, *TEXT),
}


def measured(network, config, example):
    """Costs of layers as if measured: other ones for other weights, and in other processes."""
    weights = network.conv1.weight.detach().numpy().tobytes()
    rng = np.random.default_rng([int(os.environ.get("RANK", "0")), zlib.crc32(weights)])
    costs = torch.from_numpy(rng.uniform(0.2, 1.0, (len(fractional_layers(network)), 7)))
    return costs.cumsum(dim=1).float(), config.amount * rng.uniform(0.9, 1.0)


def noisy():
    """No compiler: `measured` instead, and networks that keep their budget."""
    return mock.patch.multiple(fractional_bits, layer_costs=measured, network_cost=lambda *_: 0.0)


@contextmanager
def interrupted(step):
    """A KeyboardInterrupt in that step, from 1 on."""
    loss, seen = Classification.loss, itertools.count(1)

    def stopping(self, outputs, targets):
        if next(seen) == step:
            raise KeyboardInterrupt
        return loss(self, outputs, targets)

    with mock.patch.object(Classification, "loss", stopping):
        try:
            yield
        except KeyboardInterrupt:
            return


@contextmanager
def recorded(file):
    """Write the parameters before each `Device.share` into the file."""
    share, parameters = Device.share, {}

    def recording(device, network):
        number = len(parameters)
        for name, parameter in network.named_parameters():
            parameters[f"{number}.{name}"] = parameter.detach().clone()
        share(device, network)

    with mock.patch.object(Device, "share", recording):
        yield
    save_file(parameters, file)


def refuse(*_):
    """As `layer_costs`; the first process alone finds the budget too small."""
    if os.environ["RANK"] == "0":
        raise UserError("a budget of 1")
    return measured(*_)


def main() -> None:
    """Write FOLDER/<training>-<rank>; the caches of processes are not shared."""
    rank, folder = os.environ["RANK"], Path(sys.argv[1])
    os.environ["XDG_CACHE_HOME"] = str(folder / f"cache-{rank}")
    with noisy():
        for name, training in TRAININGS.items():
            own = folder / f"{name}-{rank}"
            own.mkdir()
            with recorded(own / "before.safetensors"):
                training.run(own)
    again = folder / f"resumed-{rank}"
    with interrupted(10):
        TRAININGS["syq"].run(again)
    TRAININGS["syq"].run(again)
    os.environ["XDG_CACHE_HOME"] = str(folder / "refused")
    refused = []
    with mock.patch.object(fractional_bits, "layer_costs", refuse):
        for name, options in (("luts", {}), ("syq", {"batch_size": 1})):
            try:
                TRAININGS[name].run(folder / f"refused-{rank}", **options)
            except UserError as error:
                refused.append(error.problem)
    (folder / f"refused-{rank}" / "problems").write_text("\n".join(refused))


if __name__ == "__main__":
    main()
