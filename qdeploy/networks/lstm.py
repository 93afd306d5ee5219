# SPDX-License-Identifier: Apache-2.0
"""Language models with one recurrent layer or more, as plain torch modules.

The character model is that of LAQ (Hou & Kwok, arXiv 1802.08635) and Karpathy, Johnson & Fei-Fei
(arXiv 1506.02078): characters as one-hot vectors, gates without peepholes, weights from U(-0.08,
0.08) and a forget bias of 1. The word model has an embedding in front.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from qdeploy.errors import UserError
from qdeploy.networks.config import NetworkConfig, NetworkName
from qdeploy.networks.network import Network

STEPS = 50  # of exported files
State = tuple[Tensor, Tensor]
_INITIAL = 0.08


class LanguageModel(Network, ABC):
    """Tokens int64 [N, T] to logits [N, T, vocabulary] of the token that follows each.

    Sequences may have any length; `input_shape` is that of the files that are exported.

    Attributes:
        vocabulary: number of tokens.
        lstm: torch.nn.LSTM, batch first.
        decoder: torch.nn.Linear.
    """

    input_shape = (STEPS,)
    input_dtype = torch.int64
    input_bits = 0

    def __init__(
        self, name: NetworkName, vocabulary: int, hidden_size: int, layers: int, dropout: float
    ) -> None:
        config = NetworkConfig(name=name, channels=(hidden_size,), vocabulary=vocabulary)
        super().__init__(config)
        self.vocabulary = vocabulary
        inputs = self.inputs
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(inputs, hidden_size, layers, batch_first=True, dropout=between)
        self.decoder = nn.Linear(hidden_size, vocabulary)
        self.dropout = nn.Dropout(dropout)

    @property
    @abstractmethod
    def inputs(self) -> int:
        """Size of what the LSTM reads."""

    @abstractmethod
    def encode(self, tokens: Tensor) -> Tensor:
        """What the LSTM reads, [N, T, inputs]."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of sequences that begin with a hidden state of zeros."""
        return self.continued(tokens, None)[0]

    def continued(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Logits, and the state behind the last token, for the tokens that follow."""
        outputs, after = self.lstm(self.dropout(self.encode(tokens)), state)
        logits: Tensor = self.decoder(self.dropout(outputs))
        return logits, after

    @torch.no_grad()
    def _initialise(self) -> None:
        for name, parameter in self.lstm.named_parameters():
            if name.startswith("weight"):
                parameter.uniform_(-_INITIAL, _INITIAL)
            else:
                parameter.zero_()
                if name.startswith("bias_ih"):
                    parameter[self.lstm.hidden_size : 2 * self.lstm.hidden_size] = 1


def language_model(config: NetworkConfig) -> LanguageModel:
    """The model of table [network]: one layer, `channels` holds its size.

    Raises:
        UserError: if it does not say how many tokens there are, or several sizes.
    """
    kind = CharacterLstm if config.name == "char_lstm" else WordLstm
    sizes = config.channels or kind.standard_channels
    if config.vocabulary is None or len(sizes) != 1:
        raise UserError(
            f"{config.name} of {config.vocabulary or 'unknown'} tokens and {len(sizes)} sizes",
            remedy="give network.vocabulary and one number in network.channels",
        )
    return kind(config.vocabulary, *sizes)


class CharacterLstm(LanguageModel):
    """Characters as one-hot vectors."""

    standard_channels = (512,)

    def __init__(self, vocabulary: int, hidden_size: int = 512, layers: int = 1) -> None:
        super().__init__("char_lstm", vocabulary, hidden_size, layers, dropout=0.0)
        self._initialise()

    @property
    def inputs(self) -> int:
        """One per character."""
        return self.vocabulary

    def encode(self, tokens: Tensor) -> Tensor:
        """One-hot vectors."""
        return functional.one_hot(tokens, self.vocabulary).to(torch.float32)


class WordLstm(LanguageModel):
    """Words as embedded vectors of the size of the hidden state."""

    standard_channels = (300,)

    def __init__(
        self, vocabulary: int, hidden_size: int = 300, layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__("word_lstm", vocabulary, hidden_size, layers, dropout)
        self.embedding = nn.Embedding(vocabulary, hidden_size)
        nn.init.uniform_(self.embedding.weight, -_INITIAL, _INITIAL)
        self._initialise()

    @property
    def inputs(self) -> int:
        """The size of a vector."""
        return self.channels[0]

    def encode(self, tokens: Tensor) -> Tensor:
        """Their vectors."""
        vectors: Tensor = self.embedding(tokens)
        return vectors
