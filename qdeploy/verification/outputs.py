# SPDX-License-Identifier: Apache-2.0
"""What output integers mean, and how far that is from the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.integer import Integers, Tensor
from qdeploy.rational import Rationals
from qdeploy.verification.contents import Rescaling


def exact_values(tensor: Tensor, integers: Integers) -> Rationals:
    """What the integers [...] of one sample mean, as Fractions."""
    scale, offset = tensor.affine()
    return np.asarray(scale * integers.astype(object) + offset, object)


def in_doubles(
    tensor: Tensor, integers: Integers
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the integers mean and the distance of neighbours, rounded to doubles."""
    scale, _ = tensor.affine()
    step = np.abs(scale.astype(np.float64))
    return exact_values(tensor, integers).astype(np.float64), np.where(step == 0, np.inf, step)


def class_of(logits: NDArray[Any]) -> int:
    """The index of the largest of one sample's logits, the first of equals."""
    values = logits.reshape(-1)
    return max(range(len(values)), key=lambda index: values[index])


def indices_of(output: NDArray[Any], shape: tuple[int, ...]) -> Integers:
    """The indices [shape] that one sample's output holds, or that of its largest logit."""
    if output.dtype.kind in "iu":
        return output.reshape(shape).astype(np.int64)
    return np.array([class_of(output)])


def error_of(exact: Rationals, meant: Rationals, random: bool) -> Rescaling:
    """The error of rounded scales: outputs [N, ...] in exact rationals, and of the integers.

    Both are indices int64 [N, 1, ...] where the network chooses one.
    """
    frames, of_class = len(exact), exact.dtype != object
    error = np.abs(meant - exact).astype(np.float64)
    changed = None
    if of_class:
        changed = int((error > 0).reshape(frames, -1).any(axis=1).sum())
    elif exact.ndim == 2 and exact.shape[1] > 1:
        changed = sum(class_of(a) != class_of(b) for a, b in zip(exact, meant, strict=True))
    return Rescaling(
        frames=frames,
        random=random,
        largest=None if of_class else float(error.max()),
        mean=None if of_class else float(error.mean()),
        spread=None if of_class else float(exact.max() - exact.min()),
        changed_classes=changed,
    )
