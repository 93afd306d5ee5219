# SPDX-License-Identifier: Apache-2.0
"""Every version of a network on the same data, held against the integer reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import InternalError, UserError
from qdeploy.integer import IntegerNetwork, Integers

RANDOM_FRAMES = 64


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs x float32 [N, ...] in the model's units and layout, classes y int64 [N] if known."""

    x: NDArray[np.float32]
    y: NDArray[np.int64] | None


def load_data(path: Path, network: IntegerNetwork) -> Samples:
    """Read an .npz with x and optionally y.

    Raises:
        UserError: if the file is unreadable or does not fit the network.
    """
    remedy = "save it with numpy.savez(path, x=inputs, y=classes)"
    try:
        with np.load(path, allow_pickle=False) as archive:
            x = network.check_input(archive["x"])
            y = archive["y"].astype(np.int64) if "y" in archive.files else None
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"cannot use {path} as test data: {error}", remedy=remedy) from error
    if y is not None and y.shape != (len(x),):
        raise UserError(f"{path}: {len(x)} inputs, but classes of shape {y.shape}", remedy=remedy)
    return Samples(x, y)


def random_data(network: IntegerNetwork, frames: int = RANDOM_FRAMES) -> Samples:
    """Random inputs that use every code of the input quantizer; no classes."""
    boundaries = network.quantizer.boundaries.astype(np.float64)
    margin = 1.0 if len(boundaries) < 2 else float(np.diff(boundaries).max())
    rng = np.random.default_rng(0)
    shape = (frames, *network.input_tensor.shape)
    x = rng.uniform(boundaries.min() - margin, boundaries.max() + margin, shape)
    return Samples(x.astype(np.float32), None)


def predictions(outputs: NDArray[np.generic]) -> Integers:
    """Classes [N] of logits [N, C] or of chosen classes [N, 1]."""
    return outputs[:, 0].astype(np.int64) if outputs.shape[1] == 1 else outputs.argmax(axis=1)


def require_equal(expected: Integers, got: Integers, who: str) -> None:
    """Compare a back end's integers with the reference's.

    Raises:
        InternalError: if they differ anywhere; names the first place and both values.
    """
    if np.array_equal(expected, got):
        return
    if expected.shape != got.shape:
        raise InternalError(f"{who}: outputs of shape {got.shape}, reference {expected.shape}")
    first = tuple(int(i) for i in np.argwhere(expected != got)[0])
    raise InternalError(
        f"{who} differs from the integer reference in {(expected != got).sum()} of "
        f"{expected.size} outputs, first at {first}: expected {expected[first]}, got {got[first]}"
    )
