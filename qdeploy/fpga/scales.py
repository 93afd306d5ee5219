# SPDX-License-Identifier: Apache-2.0
"""How the multipliers inside a layer's sum become hardware.

- "none": there are none.
- "post": the codes of a group of columns are summed first, then the sum is multiplied once. Needs
  multipliers that all output channels and all input channels of a kernel position share.
- "recode": multiplier times code as an ordinary, wider integer weight. Always possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qdeploy.errors import UserError
from qdeploy.integer import Convolution, Integers, Linear

ScaleForm = Literal["none", "post", "recode"]


@dataclass(frozen=True)
class ScaledColumns:
    """The form of one layer.

    Attributes:
        form: see the module.
        multipliers: for "post" one per group of equally many consecutive columns (columns are
            ordered kernel row, kernel column, channel), otherwise empty.
    """

    form: ScaleForm
    multipliers: tuple[int, ...] = ()


def scaled_columns(
    node: Convolution | Linear, wanted: Literal["post", "recode"] | None = None
) -> ScaledColumns:
    """The form for `node`: the wanted one, by default "post" where it is possible.

    Raises:
        UserError: if "post" is wanted and impossible.
    """
    if not node.weights.is_scaled and len(node.weights.planes) == 1:
        return ScaledColumns("none")
    positions = _shared_by_channels(node)
    if wanted == "recode" or (wanted is None and positions is None):
        return ScaledColumns("recode")
    if positions is None:
        raise UserError(
            "its multipliers differ between channels or it has several planes, so that no sum "
            f"could be multiplied afterwards ({node.weights.describe()})",
            layer=node.name,
            remedy="leave out scale_form, or use 'recode'",
        )
    return ScaledColumns("post", tuple(_largest_groups(positions)))


def codes(weights: Integers, multipliers: tuple[int, ...], binary: bool) -> Integers:
    """The codes of expanded weights [MW, MH] whose columns are scaled in groups.

    Where a multiplier is 0 any code is right: 1 where there is no code 0 (`binary`), else 0.
    """
    rows = np.repeat(np.array(multipliers, np.int64), len(weights) // len(multipliers))
    divisor = rows[:, np.newaxis]
    return np.where(divisor == 0, int(binary), weights // np.maximum(divisor, 1))


def _shared_by_channels(node: Convolution | Linear) -> Integers | None:
    """Multipliers [KH, KW] shared by all channels, None if they are not."""
    if len(node.weights.planes) != 1:
        return None
    multipliers = node.weights.planes[0].multipliers
    if multipliers.ndim == 2:
        multipliers = multipliers[:, :, np.newaxis, np.newaxis]
    kernel = (*node.weights.shape, 1, 1)[2:4]
    shared = multipliers[:1, :1]
    if (multipliers != shared).any():
        return None
    return np.broadcast_to(shared[0, 0], kernel)


def _largest_groups(positions: Integers) -> list[int]:
    """One multiplier for all, one per kernel row, or one per kernel position."""
    if (positions == positions[0, 0]).all():
        return [int(positions[0, 0])]
    if (positions == positions[:, :1]).all():
        return [int(m) for m in positions[:, 0]]
    return [int(m) for m in positions.ravel()]
