# SPDX-License-Identifier: Apache-2.0
"""Table [network] of a build file; imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Channels = Annotated[int, Field(ge=1, le=4096)]
NetworkName = Literal[
    "digits_cnn",
    "tfc",
    "sfc",
    "lfc",
    "laq_mlp",
    "lenet5",
    "cnv",
    "vgg_small",
    "resnet18",
    "resnet20",
    "signal_cnn",
]


class NetworkConfig(BaseModel):
    """Which network.

    Attributes:
        name: one of the networks of `qdeploy.networks`.
        channels: output channels (or features) of the layers that the network lets you choose, in
            order; by default those of its publication.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: NetworkName = "digits_cnn"
    channels: tuple[Channels, ...] | None = None
