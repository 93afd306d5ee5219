# SPDX-License-Identifier: Apache-2.0
"""Training of a user's module on batches of the user's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from qdeploy.errors import UserError
from qdeploy.training.config import TrainingConfig
from qdeploy.training.devices import devices
from qdeploy.training.fitting import fit, progress_bars
from qdeploy.training.methods import float_phases, phases
from qdeploy.training.resumption import Epoch
from qdeploy.training.task import class_loss

Loss = Callable[[Tensor, Tensor], Tensor]


class Batches(Protocol):
    """Inputs [N, ...] and targets [N, ...] in batches: a `DataLoader`, a list."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class OwnTask:
    """Batches of the user's as a task (`qdeploy.training.task`).

    Args:
        train: an epoch each time it is iterated over.
        test: the same.
        own_loss: of outputs and targets, mean over the batch; None for the cross entropy of classes
            along the last axis. The metric is the mean of it on `test`, or the accuracy.

    Attributes:
        example: a batch of inputs.

    Raises:
        UserError: if there are no batches, or targets are no classes.
    """

    def __init__(self, train: Batches, test: Batches, own_loss: Loss | None) -> None:
        self.train, self.test = train, test
        self.metric = "accuracy" if own_loss is None else "loss"
        self.loss = own_loss or class_loss
        self.steps = len(train)
        if self.steps == 0 or len(test) == 0:
            raise UserError(
                f"{self.steps} batches for training and {len(test)} for testing",
                remedy="give at least one of each",
            )
        self.example, targets = next(iter(train))
        if own_loss is None and targets.is_floating_point():
            raise UserError(
                f"targets of type {targets.dtype} are no classes",
                remedy="give int64 classes, or loss=, a function of outputs and targets",
            )

    def batches(self, augmented: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Task`; augmentation is the user's."""
        yield from self.train

    def inputs(self) -> Iterator[Tensor]:
        """See `Task`."""
        for x, _ in self.train:
            yield x

    @torch.no_grad()
    def evaluate(self, network: nn.Module) -> float:
        """The metric, in evaluation mode; the network's mode is left as it was."""
        training = network.training
        network.eval()
        device = next(network.parameters()).device
        total, count = 0.0, 0
        for x, y in self.test:
            outputs, targets = network(x.to(device)), y.to(device)
            if self.metric == "accuracy":
                total += int((outputs.argmax(-1) == targets).sum())
                count += targets.numel()
            else:
                total += self.loss(outputs, targets).item() * len(x)
                count += len(x)
        network.train(training)
        return total / count


def fit_module(
    module: nn.Module, task: OwnTask, training: TrainingConfig, state_file: Path | None
) -> list[Epoch]:
    """Train in place; see `qdeploy.fit`."""
    _check_inputs(module, task.example)
    config = getattr(module, "quantization", None)
    own = phases(config, training, task.example[:1]) if config else float_phases(training)
    home = next(module.parameters()).device
    with devices(training) as device, progress_bars() as progress:
        history = fit(module, task, own, device, progress, training.seed, state_file)
    module.to(home)
    if state_file is not None and device.rank == 0:
        state_file.unlink(missing_ok=True)
    return history


def _check_inputs(module: nn.Module, x: Tensor) -> None:
    if not hasattr(module, "input_quantizer") or not x.is_floating_point():
        return
    least, largest = float(x.min()), float(x.max())
    if least < 0 or largest > 2:
        raise UserError(
            f"inputs from {least:g} to {largest:g}; the twin's input quantizer takes 0 .. 1",
            remedy="scale them to 0 .. 1, or quantize(..., input_bits=None) a module that begins "
            "with an input quantizer of its own",
        )
