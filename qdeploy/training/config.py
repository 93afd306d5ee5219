# SPDX-License-Identifier: Apache-2.0
"""Tables [data] and [training] of a build file; imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

__all__ = ["DataConfig", "TrainingConfig"]


class DataConfig(BaseModel):
    """Which data set.

    Attributes:
        dataset: one of the data sets of `qdeploy.training.datasets`.
        samples: only so many of the training samples, from the first on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Literal["digits", "mnist", "fashion-mnist", "cifar10", "phrases", "warpeace"] = (
        "digits"
    )
    samples: PositiveInt | None = None


class TrainingConfig(BaseModel):
    """How the float network, and from its parameters the quantized one, are trained.

    Attributes:
        float_epochs: passes over the data with the float network; with 0 the quantized one starts
            from random parameters.
        epochs: passes over the data with the quantized network.
        batch_size: samples per step, of all processes together.
        learning_rate: Adam's at the start; it falls to 0 along a cosine.
        loss: of classes; the squared hinge is that of one against all.
        augmentation: which of the two networks sees moved (and mirrored) images, if the data set
            allows it.
        seed: of parameters and shuffling; the same seed gives the same network, on the same kind of
            device and with as many processes.
        threads: of the CPU; another number rounds sums in another order.
        device: "auto" is the first CUDA device, if there is one, else the CPU.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    float_epochs: NonNegativeInt = 15
    epochs: PositiveInt = 40
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 5e-3
    loss: Literal["cross-entropy", "squared-hinge"] = "cross-entropy"
    augmentation: Literal["none", "float", "both"] = "float"
    seed: int = Field(default=0, ge=0, lt=2**31)
    threads: PositiveInt = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
