# SPDX-License-Identifier: Apache-2.0
"""From a language model with quantized weights to integers on the CPU, without more training."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import torch
from brevitas.quant import Int8WeightPerTensorFixedPoint
from rows import Row
from torch import nn

from qdeploy.cpu import Session, pack
from qdeploy.exporter import export_qonnx
from qdeploy.integer import run
from qdeploy.lowering import lower
from qdeploy.networks.lstm import LanguageModel, WordLstm
from qdeploy.quantizers.lstm import QuantizedLstm
from qdeploy.training.text import Tokens, windows

BITS = 8
_AT_ONCE = 50


def deploy(network: LanguageModel, plain: nn.LSTM, quantizer: Any) -> None:
    """Give all of the network quantizers: `BITS` bits for activations, decoder and embedding.

    Args:
        network: its LSTM is a twin of `plain` with float activations.
        plain: for its sizes.
        quantizer: of the twin's weights.
    """
    inside = QuantizedLstm(plain, lambda _: quantizer, BITS)
    decoder = qnn.QuantLinear(
        network.decoder.in_features, network.vocabulary, weight_quant=Int8WeightPerTensorFixedPoint
    )
    network.lstm, network.decoder = (
        _with_parameters(twin, layer)
        for twin, layer in ((inside, network.lstm), (decoder, network.decoder))
    )
    if isinstance(network, WordLstm):
        table = qnn.QuantEmbedding(
            network.vocabulary,
            network.embedding.embedding_dim,
            weight_quant=Int8WeightPerTensorFixedPoint,
        )
        network.embedding = _with_parameters(table, network.embedding)
    network.eval()


def as_integers(network: LanguageModel, tokens: Tokens, steps: int) -> Row:
    """Cross entropy of the integer network for sequences from a state of zeros.

    What runs on the CPU must give the integers of the reference, and Brevitas the same ones: its
    logits may be off by less than half of what 1 means.
    """
    x, y = windows(tokens, steps)
    with tempfile.TemporaryDirectory() as folder:
        source, packed = Path(folder) / "model.onnx", Path(folder) / "cpu.onnx"
        export_qonnx(network, torch.from_numpy(x[:1]), source)
        integers = lower(source)
        size = pack(integers, packed).file_bytes
        session = Session(packed)
    assert np.array_equal(session.run_integers(x[:2]), run(integers, x[:2]))
    with torch.no_grad():
        own = network(torch.from_numpy(x[:_AT_ONCE])).numpy()
    meant = integers.real_output(session.run_integers(x[:_AT_ONCE]))
    step = float(min(map(abs, integers.output_tensor.meaning.scale)))
    same = bool(np.abs(meant - own).max() < step / 2)  # Brevitas rounds logits to float32 twice
    total = 0.0
    for start in range(0, len(x), _AT_ONCE):
        logits = torch.from_numpy(session.run(x[start : start + _AT_ONCE]))
        targets = torch.from_numpy(y[start : start + _AT_ONCE])
        total += nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="sum"
        ).item()
    return {"integers": total / y.size, "equal_to_brevitas": same, "bytes": size}


def _with_parameters(twin: Any, layer: nn.Module) -> Any:
    twin.load_state_dict(layer.state_dict(), strict=False)
    return twin
