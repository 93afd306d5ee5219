# SPDX-License-Identifier: Apache-2.0
"""Small quantized language models, with gates that take many of their codes."""

from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.quant import Int8WeightPerTensorFixedPoint
from torch import nn

from qdeploy.exporter import export_qonnx
from qdeploy.networks.lstm import CharacterLstm, LanguageModel, WordLstm
from qdeploy.quantizers.lstm import QuantizedLstm
from qdeploy.quantizers.syq import SyqTernaryLayer

VOCABULARY = 20


def language_model(
    kind: str, layers: int = 1, weight_quant: Any = SyqTernaryLayer, bits: int | None = 8
) -> LanguageModel:
    """A "character" or "word" model of 16 units in evaluation mode; its parameters are random."""
    torch.manual_seed(0)
    make = CharacterLstm if kind == "character" else WordLstm
    model = make(VOCABULARY, 16, layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(5 if "embedding" in name else 8 if "lstm" in name else 1)
    model.lstm = QuantizedLstm(model.lstm, lambda _: weight_quant, bits)
    decoder = qnn.QuantLinear(16, VOCABULARY, weight_quant=Int8WeightPerTensorFixedPoint)
    model.decoder = _with_parameters(decoder, model.decoder)
    if isinstance(model, WordLstm):
        table = qnn.QuantEmbedding(VOCABULARY, 16, weight_quant=Int8WeightPerTensorFixedPoint)
        model.embedding = _with_parameters(table, model.embedding)
    return model.eval()


def sequences(count: int = 4, steps: int = 9) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (count, steps), generator=torch.Generator().manual_seed(1))


def exported(model: nn.Module, path: Path, example: torch.Tensor | None = None) -> Path:
    """The file of the model; sequences of nine tokens by default."""
    export_qonnx(model, sequences(1) if example is None else example, path)
    return path


def _with_parameters(quantized: Any, plain: nn.Module) -> Any:
    quantized.load_state_dict(plain.state_dict(), strict=False)
    return quantized
