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
    "laq_cnn",
    "lenet5",
    "cnv",
    "vgg_small",
    "resnet18",
    "resnet20",
    "signal_cnn",
    "char_lstm",
    "word_lstm",
]
_OF_TEXTS = ("char_lstm", "word_lstm")


class NetworkConfig(BaseModel):
    """Which network.

    Attributes:
        name: one of the networks of `qdeploy.networks`.
        channels: output channels (or features) of the layers that the network lets you choose, in
            order; by default those of its publication.
        vocabulary: tokens of a language model; training takes their number from the data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: NetworkName = "digits_cnn"
    channels: tuple[Channels, ...] | None = None
    vocabulary: Annotated[int, Field(ge=1, le=1 << 20)] | None = None

    @property
    def reads_text(self) -> bool:
        """Whether inputs are tokens."""
        return self.name in _OF_TEXTS
