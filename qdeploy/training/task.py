# SPDX-License-Identifier: Apache-2.0
"""What a network is trained for: batches, loss, and how good it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from qdeploy.training.config import TrainingConfig
from qdeploy.training.datasets import Dataset
from qdeploy.training.evaluation import accuracy


class Task(Protocol):
    """A data set and a loss."""

    metric: str  # of `evaluate`: "accuracy", "perplexity"
    steps: int  # per epoch

    def batches(self, augmented: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """An epoch of inputs and targets in random order, by torch's global random numbers."""

    def inputs(self) -> Iterator[Tensor]:
        """All training inputs in batches, in order, as they are."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over the batch."""

    def evaluate(self, network: nn.Module) -> float:
        """On the test set, in evaluation mode; the network's mode is left as it was."""


class Classification:
    """Classes of images, or of every step of sequences."""

    metric = "accuracy"

    def __init__(self, dataset: Dataset, training: TrainingConfig) -> None:
        self.dataset = dataset
        self.batch_size = training.batch_size
        self.x, self.y = torch.from_numpy(dataset.x_train), torch.from_numpy(dataset.y_train)
        self.steps = math.ceil(len(self.x) / self.batch_size)
        self.hinge = training.loss == "squared-hinge"

    def batches(self, augmented: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Task`."""
        for batch in torch.split(torch.randperm(len(self.x)), self.batch_size):
            images = self.x[batch]
            if augmented and self.dataset.shift:
                images = _shifted(images, self.dataset.shift)
            if augmented and self.dataset.mirrored:
                images = _mirrored(images)
            yield images, self.y[batch]

    def inputs(self) -> Iterator[Tensor]:
        """See `Task`."""
        yield from torch.split(self.x, self.batch_size)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `Task`."""
        if not self.hinge:
            return class_loss(outputs, targets)
        signs = 2 * nn.functional.one_hot(targets, outputs.shape[-1]) - 1
        return (1 - signs * outputs).clamp(min=0).square().mean()

    def evaluate(self, network: nn.Module) -> float:
        """Share of the test images whose largest logit is that of their class."""
        return accuracy(network, self.dataset.x_test, self.dataset.y_test)


def class_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy in nats of logits [N, classes] or, of sequences, [N, T, classes]."""
    return nn.functional.cross_entropy(outputs.flatten(0, -2), targets.flatten())


def joined(batches: Iterable[tuple[Tensor, ...]], least: int) -> Iterator[tuple[Tensor, ...]]:
    """The batches; a last one of fewer than `least` samples is a part of the one before."""
    iterator = iter(batches)
    held = next(iterator)
    for batch in iterator:
        if len(batch[0]) < min(least, len(held[0])):
            held = tuple(torch.cat(parts) for parts in zip(held, batch, strict=True))
        else:
            yield held
            held = batch
    yield held


def _shifted(images: Tensor, largest: int) -> Tensor:
    """Move each image [N, C, H, W] by up to `largest` pixels per axis; zeros come in."""
    count, _, height, width = images.shape
    padded = nn.functional.pad(images, (largest,) * 4)
    down, right = torch.randint(2 * largest + 1, (2, count, 1, 1))
    rows = down + torch.arange(height).reshape(1, -1, 1)
    columns = right + torch.arange(width).reshape(1, 1, -1)
    batch = torch.arange(count).reshape(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2)


def _mirrored(images: Tensor) -> Tensor:
    """Mirror half of the images [N, C, H, W], left to right."""
    chosen = torch.rand(len(images)) < 0.5
    return torch.where(chosen.reshape(-1, 1, 1, 1), images.flip(-1), images)
