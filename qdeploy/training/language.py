# SPDX-License-Identifier: Apache-2.0
"""Language models as a task: the token behind each token of a sequence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from qdeploy.networks.lstm import LanguageModel
from qdeploy.training.text import Text, Tokens, streams, windows

_EVALUATED = 64  # sequences at a time


class LanguageModeling:
    """Sequences of a text in random order, each from a state of zeros (`qdeploy.training.task`).

    Args:
        text: its training part is trained on.
        steps: of a sequence.
        batch_size: sequences of a step.
        metric: of the test part. "cross entropy" in nats per token, for sequences of so many steps
            from a state of zeros; or "perplexity", its exponential, with the state carried on
            through the text, for a `LanguageModel`.
    """

    def __init__(
        self,
        text: Text,
        steps: int,
        batch_size: int,
        metric: Literal["cross entropy", "perplexity"] = "cross entropy",
    ) -> None:
        self.text, self.length, self.batch_size, self.metric = text, steps, batch_size, metric
        self.x, self.y = map(torch.from_numpy, windows(text.train, steps))
        self.steps = math.ceil(len(self.x) / batch_size)

    def batches(self, augmented: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Tokens [N, T] and those that follow; `augmented` changes nothing."""
        for batch in torch.split(torch.randperm(len(self.x)), self.batch_size):
            yield self.x[batch], self.y[batch]

    def inputs(self) -> Iterator[Tensor]:
        """All sequences in order."""
        yield from torch.split(self.x, self.batch_size)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy in nats of logits [N, T, V]."""
        return functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    @torch.no_grad()
    def evaluate(self, network: nn.Module) -> float:
        """The metric on the test part."""
        training = network.training
        network.eval()
        device = next(network.parameters()).device
        if self.metric == "perplexity":
            assert isinstance(network, LanguageModel)
            result = math.exp(_carried(network, self.text.test, self.length, device))
        else:
            parts = (torch.from_numpy(p) for p in windows(self.text.test, self.length))
            x, y = (torch.split(part.to(device), _EVALUATED) for part in parts)
            total = sum(
                self.loss(network(tokens), targets).item() * len(tokens)
                for tokens, targets in zip(x, y, strict=True)
            )
            result = total / sum(map(len, x))
        network.train(training)
        return result


def _carried(network: LanguageModel, tokens: Tokens, steps: int, device: torch.device) -> float:
    """Mean cross entropy of the text in parts side by side."""
    state, total, count = None, 0.0, 0
    for x, y in streams(tokens, _EVALUATED, steps):
        logits, state = network.continued(torch.tensor(x, device=device), state)
        targets = torch.tensor(y, device=device).flatten()
        total += functional.cross_entropy(logits.flatten(0, 1), targets, reduction="sum").item()
        count += len(targets)
    return total / count
