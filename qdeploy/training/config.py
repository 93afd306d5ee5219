# SPDX-License-Identifier: Apache-2.0
"""Tables [data], [network] and [training] of a build file; imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from qdeploy.networks.config import NetworkConfig

__all__ = ["DataConfig", "NetworkConfig", "TrainingConfig"]


class DataConfig(BaseModel):
    """Which data set.

    Attributes:
        dataset: one of the data sets of `qdeploy.training.datasets`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Literal["digits"] = "digits"


class TrainingConfig(BaseModel):
    """How the float network, and from its parameters the quantized one, are trained.

    Attributes:
        float_epochs: passes over the data with the float network.
        epochs: passes over the data with the quantized network.
        batch_size: images per step.
        learning_rate: Adam's at the start; it falls to 0 along a cosine.
        seed: of parameters and shuffling; the same seed gives the same network.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    float_epochs: PositiveInt = 15
    epochs: PositiveInt = 40
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 5e-3
    seed: int = Field(default=0, ge=0, lt=2**63)
