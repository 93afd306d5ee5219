# SPDX-License-Identifier: Apache-2.0
"""Table [network] of a build file; imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Channels = Annotated[int, Field(ge=1, le=4096)]
NetworkName = Literal[
    "digits_cnn", "tfc", "sfc", "lfc", "lenet5", "cnv", "vgg_small", "resnet20", "signal_cnn"
]


class NetworkConfig(BaseModel):
    """Which network, and how it is quantized.

    Attributes:
        name: one of the networks of `qdeploy.networks`.
        weights: weight codes; "float" is the same network with no quantizer.
        granularity: which weights share an SYQ scale.
        activation_bits: bits of the unsigned activations after each ReLU; with one bit activations
            are signs, -1 or +1.
        channels: output channels (or features) of the layers that the network lets you choose, in
            order; by default those of its publication.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: NetworkName = "digits_cnn"
    weights: Literal["float", "binary", "ternary"] = "ternary"
    granularity: Literal["layer", "row", "pixel"] = "pixel"
    activation_bits: int = Field(default=2, ge=1, le=8)
    channels: tuple[Channels, ...] | None = None
