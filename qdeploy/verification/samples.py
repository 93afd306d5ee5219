# SPDX-License-Identifier: Apache-2.0
"""The inputs on which the versions of a network are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.integer import IntegerNetwork
from qdeploy.lowering.datatypes import IntegerType
from qdeploy.rational import Rationals

RANDOM_FRAMES = 64


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs x float32 [N, ...] in the model's units and layout, classes y int64 [N] if known."""

    x: NDArray[np.float32]
    y: NDArray[np.int64] | None
    random: bool = False


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
    if not len(x):
        raise UserError(f"{path} holds no samples", remedy=remedy)
    return Samples(x, y)


def random_data(network: IntegerNetwork, frames: int = RANDOM_FRAMES) -> Samples:
    """Random inputs that use every code of the input quantizer; no classes."""
    boundaries = network.quantizer.boundaries.astype(np.float64)
    margin = 1.0 if len(boundaries) < 2 else float(np.diff(boundaries).max())
    rng = np.random.default_rng(0)
    shape = (frames, *network.input_tensor.shape)
    x = rng.uniform(boundaries.min() - margin, boundaries.max() + margin, shape)
    return Samples(x.astype(np.float32), None, random=True)


def rounded_to(kind: IntegerType, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """`x`, each value replaced by the nearest number of a type."""
    steps = np.rint((x.astype(np.float64) / float(kind.scale) - kind.low) / kind.step)
    codes = kind.low + kind.step * np.clip(steps, 0, (kind.high - kind.low) // kind.step)
    return (codes * float(kind.scale)).astype(np.float32)


def exact_numbers(kind: IntegerType, x: NDArray[np.float32]) -> Rationals:
    """The numbers of a type that float32 values stand for, as Fractions: 1/255, not its float32."""
    codes = np.rint(x.astype(np.float64) / float(kind.scale)).astype(np.int64)
    return np.asarray(codes.astype(object) * kind.scale, object)
