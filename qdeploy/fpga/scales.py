# SPDX-License-Identifier: Apache-2.0
"""How the multipliers inside a layer's sum become hardware.

- "none": there are none.
- "post": the codes of a group of columns are summed first, then the sum is multiplied once. Needs
  multipliers that are equal over groups of consecutive columns; rows may have their own.
- "pre": the elements are multiplied before they meet the codes. Needs multipliers that all rows
  share.
- "recode": multiplier times code as an ordinary, wider integer weight. Always possible.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.integer import Convolution, Integers, Linear

# In the order of preference where nobody compares what they cost.
ScaleForm = Literal["post", "pre", "recode"]
# Smaller groups would let the unit take fewer columns per cycle than anyone wants.
SMALLEST_GROUP = 4


@dataclass(frozen=True, eq=False)
class ScaledColumns:
    """The weights of one layer in hardware order: kernel row, kernel column, channel.

    Attributes:
        form: see the module.
        codes: int64 [planes, MH, MW].
        multipliers: for "post" and "pre" [planes, MH or 1, groups of equally many columns], else
            None.
    """

    form: Literal["none"] | ScaleForm
    codes: Integers
    multipliers: Integers | None = None


def scaled_columns(
    node: Convolution | Linear,
    wanted: ScaleForm | None = None,
    order: Integers | None = None,
) -> ScaledColumns:
    """The form for `node`: the wanted one, by default the first that is possible.

    Args:
        node: the layer.
        wanted: see the module.
        order: which column of the network's order stands at each place in the hardware, where an
            image was flattened before the layer.

    Raises:
        UserError: if the wanted form is impossible; the possible ones are named.
    """
    codes = np.stack([_columns(plane.codes, order) for plane in node.weights.planes])
    if not node.weights.is_scaled and len(codes) == 1:
        return ScaledColumns("none", codes)
    multipliers = np.stack(
        [
            _columns(np.broadcast_to(plane.expanded_multipliers(), node.weights.shape), order)
            for plane in node.weights.planes
        ]
    )
    groups = multipliers[:, :, :: _group_size(multipliers)]
    if (groups == groups[:, :1]).all():
        groups = groups[:, :1]
    possible = possible_forms(codes, groups)
    if wanted is not None and wanted not in possible:
        between = "columns" if wanted == "post" else "rows"
        raise UserError(
            f"its multipliers differ between {between}, so that its scales cannot have the form "
            f"'{wanted}' ({node.weights.describe()})",
            layer=node.name,
            remedy=f"leave out scale_form, or use {' or '.join(map(repr, possible))}",
        )
    return with_form(ScaledColumns(possible[0], codes, groups), wanted or possible[0])


def possible_forms(codes: Integers, multipliers: Integers) -> tuple[ScaleForm, ...]:
    """The forms that scales [planes, MH or 1, groups] of codes [planes, MH, MW] can have."""
    columns = codes.shape[2]
    legal = {
        "post": columns // multipliers.shape[2] >= min(SMALLEST_GROUP, columns),
        "pre": multipliers.shape[1] == 1,
        "recode": True,
    }
    forms: tuple[ScaleForm, ...] = get_args(ScaleForm)
    return tuple(form for form in forms if legal[form])


def with_form(columns: ScaledColumns, form: ScaleForm) -> ScaledColumns:
    """The same weights in another form; `columns` has multipliers."""
    if form == "recode":
        return ScaledColumns(form, expanded(columns)[np.newaxis])
    return replace(columns, form=form)


def expanded(columns: ScaledColumns) -> Integers:
    """The integer weights [MH, MW] that codes and multipliers stand for."""
    if columns.multipliers is None:
        single: Integers = columns.codes[0]
        return single
    size = columns.codes.shape[2] // columns.multipliers.shape[2]
    weights: Integers = (columns.codes * columns.multipliers.repeat(size, axis=2)).sum(axis=0)
    return weights


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
