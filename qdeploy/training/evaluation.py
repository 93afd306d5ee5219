# SPDX-License-Identifier: Apache-2.0
"""Predictions of torch networks for numpy arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from qdeploy.errors import UserError
from qdeploy.training import checkpoint

_BATCH = 512


def predict(path: Path, x: ArrayLike) -> NDArray[np.float32]:
    """Logits [N, classes] of the network in a checkpoint for inputs [N, ...] in its units.

    Raises:
        UserError: if the checkpoint cannot be read or `x` has another shape than its inputs.
    """
    network = checkpoint.load(path)
    inputs = np.asarray(x, np.float32 if network.input_dtype.is_floating_point else np.int64)
    if inputs.shape[1:] != network.input_shape:
        raise UserError(
            f"inputs of shape {inputs.shape}; {path.name} takes [N, "
            f"{', '.join(map(str, network.input_shape))}]",
            remedy="give a batch of inputs, also for one",
        )
    return logits(network, inputs)


def logits(network: nn.Module, x: NDArray[Any]) -> NDArray[np.float32]:
    """Logits [N, classes], or [N, T, classes] of sequences, for inputs [N, ...].

    They are those of evaluation mode; the network's mode is left as it was.
    """
    training = network.training
    network.eval()
    device = next(network.parameters()).device
    with torch.no_grad():
        batches = [network(b.to(device)).cpu() for b in torch.split(torch.from_numpy(x), _BATCH)]
    network.train(training)
    result: NDArray[np.float32] = torch.cat(batches).numpy()
    return result


def accuracy(network: nn.Module, x: NDArray[Any], y: NDArray[np.int64]) -> float:
    """Share of the inputs, or of the steps of sequences, whose largest logit is of class `y`."""
    return float(np.mean(logits(network, x).argmax(axis=-1) == y))
