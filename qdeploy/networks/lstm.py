# SPDX-License-Identifier: Apache-2.0
"""Language models with one recurrent layer or more, as plain torch modules.

The character model is that of LAQ (Hou & Kwok, arXiv 1802.08635) and Karpathy, Johnson & Fei-Fei
(arXiv 1506.02078): characters as one-hot vectors, gates without peepholes, weights from U(-0.08,
0.08) and a forget bias of 1. The word model has an embedding in front.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

State = tuple[Tensor, Tensor]
_INITIAL = 0.08


class LanguageModel(nn.Module):
    """Tokens int64 [N, T] to logits [N, T, vocabulary] of the token that follows each.

    Attributes:
        vocabulary: number of tokens.
        lstm: torch.nn.LSTM, batch first.
        decoder: torch.nn.Linear.
    """

    def __init__(
        self, vocabulary: int, inputs: int, hidden_size: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.lstm = nn.LSTM(inputs, hidden_size, layers, batch_first=True, dropout=dropout)
        self.decoder = nn.Linear(hidden_size, vocabulary)
        self.dropout = nn.Dropout(dropout)

    def encode(self, tokens: Tensor) -> Tensor:
        """What the LSTM reads, [N, T, inputs]."""
        raise NotImplementedError

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


class CharacterLstm(LanguageModel):
    """Characters as one-hot vectors."""

    def __init__(self, vocabulary: int, hidden_size: int = 512, layers: int = 1) -> None:
        super().__init__(vocabulary, vocabulary, hidden_size, layers, dropout=0.0)
        self._initialise()

    def encode(self, tokens: Tensor) -> Tensor:
        """One-hot vectors."""
        return functional.one_hot(tokens, self.vocabulary).to(self.decoder.weight.dtype)


class WordLstm(LanguageModel):
    """Words as embedded vectors of the size of the hidden state."""

    def __init__(
        self, vocabulary: int, hidden_size: int = 300, layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__(vocabulary, hidden_size, hidden_size, layers, dropout)
        self.embedding = nn.Embedding(vocabulary, hidden_size)
        nn.init.uniform_(self.embedding.weight, -_INITIAL, _INITIAL)
        self._initialise()

    def encode(self, tokens: Tensor) -> Tensor:
        """Their vectors."""
        vectors: Tensor = self.embedding(tokens)
        return vectors
