# SPDX-License-Identifier: Apache-2.0
"""How the multipliers inside a layer's sum become hardware.

- "none": there are none.
- "post": the codes of a group of columns are summed first, then the sum is multiplied once. Needs
  multipliers that are equal over groups of consecutive columns; rows may have their own.
- "recode": multiplier times code as an ordinary, wider integer weight. Always possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.integer import Convolution, Integers, Linear

ScaleForm = Literal["none", "post", "recode"]
# Smaller groups would let the unit take fewer columns per cycle than anyone wants.
SMALLEST_GROUP = 4


@dataclass(frozen=True, eq=False)
class ScaledColumns:
    """The weights of one layer in hardware order: kernel row, kernel column, channel.

    Attributes:
        form: see the module.
        codes: int64 [planes, MH, MW].
        multipliers: for "post" [planes, MH or 1, groups of equally many columns], else None.
    """

    form: ScaleForm
    codes: Integers
    multipliers: Integers | None = None


def scaled_columns(
    node: Convolution | Linear,
    wanted: Literal["post", "recode"] | None = None,
    order: Integers | None = None,
) -> ScaledColumns:
    """The form for `node`: the wanted one, by default "post" where it is possible.

    Args:
        node: the layer.
        wanted: see the module.
        order: which column of the network's order stands at each place in the hardware, where an
            image was flattened before the layer.

    Raises:
        UserError: if "post" is wanted and impossible.
    """
    codes = np.stack([_columns(plane.codes, order) for plane in node.weights.planes])
    if not node.weights.is_scaled and len(codes) == 1:
        return ScaledColumns("none", codes)
    multipliers = np.stack(
        [
            _columns(np.broadcast_to(plane.multipliers, node.weights.shape), order)
            for plane in node.weights.planes
        ]
    )
    size = _group_size(multipliers)
    if size < min(SMALLEST_GROUP, codes.shape[2]) and wanted == "post":
        raise UserError(
            "its multipliers differ between columns, so that no sum could be multiplied afterwards "
            f"({node.weights.describe()})",
            layer=node.name,
            remedy="leave out scale_form, or use 'recode'",
        )
    if wanted == "recode" or size < min(SMALLEST_GROUP, codes.shape[2]):
        return ScaledColumns("recode", (codes * multipliers).sum(axis=0, keepdims=True))
    groups = multipliers[:, :, ::size]
    if (groups == groups[:, :1]).all():
        groups = groups[:, :1]
    return ScaledColumns("post", codes, groups)


def _columns(weights: NDArray[np.signedinteger], order: Integers | None) -> Integers:
    """[O, I, ...] as [MH, MW], columns in hardware order."""
    if weights.ndim == 4:
        weights = weights.transpose(0, 2, 3, 1)
    matrix: Integers = weights.reshape(len(weights), -1).astype(np.int64)
    return matrix if order is None else matrix[:, order]


def _group_size(multipliers: Integers) -> int:
    """Columns of the largest equal groups over which the multipliers of every row are constant."""
    changes = (multipliers[:, :, 1:] != multipliers[:, :, :-1]).any(axis=(0, 1))
    return gcd(multipliers.shape[2], *(int(place) + 1 for place in np.flatnonzero(changes)))
