# SPDX-License-Identifier: Apache-2.0
"""Real inputs and outputs of a network, the same on every machine; boards have it too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qdeploy.errors import UserError

if TYPE_CHECKING:  # the numpy of older boards has no types
    from numpy.typing import ArrayLike, NDArray


def checked_input(x: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Inputs as float32 [N, *shape]; a missing batch axis is added.

    Raises:
        UserError: if the shape does not fit or an input is not a number.
    """
    values = np.asarray(x, np.float32)
    if values.shape == shape:
        values = values[np.newaxis]
    if values.shape[1:] != shape:
        raise UserError(
            f"the input has shape {values.shape}, the model takes {('N', *shape)}",
            remedy=f"reshape the array to [N, {', '.join(map(str, shape))}]",
        )
    if np.isnan(values).any():
        raise UserError("the input holds NaN", remedy="feed finite numbers")
    return values


def apply_function(name: str, reals: NDArray[Any]) -> NDArray[Any]:
    """The function at a network's output, "softmax", "sigmoid" or "", of reals [N, ...]."""
    if name == "softmax":
        powers = np.exp(reals - reals.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]
    if name == "sigmoid":
        return (1 + np.tanh(reals / 2)) / 2
    return reals
