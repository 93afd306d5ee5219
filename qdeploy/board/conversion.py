# SPDX-License-Identifier: Apache-2.0
"""From real inputs to the integers of a package's network, and from its integers to real outputs.

The same operations as in `qdeploy.integer`, which boards do not have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qdeploy.real_values import apply_function, checked_input

if TYPE_CHECKING:  # the numpy of older boards has no types
    from numpy.typing import ArrayLike, NDArray

    from qdeploy.board.package import Package


class Conversion:
    """Both ends of a package's network."""

    def __init__(self, package: Package) -> None:
        self._network = package.manifest.network
        self._boundaries = package.array("boundaries.npy")
        self._scale = package.array("scale.npy")
        self._offset = package.array("offset.npy")

    def codes(self, x: ArrayLike) -> NDArray[np.int64]:
        """Real inputs [N, ...] in the model's units and layout to codes, int64 [N, ...].

        A missing batch axis is added. `x` is taken as float32.

        Raises:
            UserError: if the shape does not fit or an input is not a number.
        """
        values = checked_input(x, self._network.input_shape)
        reached = np.searchsorted(self._boundaries, values, side="right")
        return self._network.low + self._network.step * reached.astype(np.int64)

    def reals(self, integers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Integer outputs [N, ...] to the model's real outputs, float32."""
        real: NDArray[np.float64] = self._scale * integers + self._offset
        return apply_function(self._network.output_function, real).astype(np.float32)
