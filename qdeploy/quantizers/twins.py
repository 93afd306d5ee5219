# SPDX-License-Identifier: Apache-2.0
"""The quantized twin of each kind of layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
from brevitas.inject.enum import ScalingImplType, StatsOp
from brevitas.quant import (
    Int8WeightPerTensorFixedPoint,
    Int8WeightPerTensorFloat,
    SignedBinaryActPerTensorConst,
    SignedBinaryWeightPerTensorConst,
    SignedTernaryWeightPerTensorConst,
)
from torch import Tensor, nn

from qdeploy.errors import UserError
from qdeploy.quantizers import syq
from qdeploy.quantizers.activations import FixedPointActivation, SignedFixedPointActivation
from qdeploy.quantizers.alq.quantizer import AlqWeights
from qdeploy.quantizers.config import (
    AlqConfig,
    FractionalBitsConfig,
    LaqConfig,
    QuantizationConfig,
    RetrainingConfig,
    SyqConfig,
)
from qdeploy.quantizers.fractional_bits.quantizer import FractionalBits
from qdeploy.quantizers.loss_aware import weights as loss_aware
from qdeploy.quantizers.lstm import QuantizedLstm
from qdeploy.quantizers.multibit.activation import MultibitReLU
from qdeploy.quantizers.multibit.quantizer import MultibitWeights


class Branch(nn.Identity):
    """Marks where a branch ends before an addition; there its twin is quantized, signed."""


def weight_quantizer(config: QuantizationConfig, weights: Tensor) -> type | None:
    """The Brevitas injector for weights as they are at the start, None for none."""
    if config.weights == "float":
        return None
    if config.weights == "int8":
        return Int8WeightPerTensorFloat  # type: ignore[no-any-return]
    if isinstance(config, RetrainingConfig):
        return MultibitWeights.let(  # type: ignore[no-any-return]
            bits=config.bits, solver=config.solver, pruned=config.pruned
        )
    if isinstance(config, AlqConfig):
        return _alq(config, tuple(weights.shape))
    if isinstance(config, FractionalBitsConfig):
        return FractionalBits
    if isinstance(config, SyqConfig):
        return _SYQ[config.weights, config.granularity if weights.ndim == 4 else "layer"]
    if isinstance(config, LaqConfig):
        return _LAQ[config.weights].let(  # type: ignore[no-any-return]
            bit_width=config.bits, solver=config.solver, scale_rule=config.scale_rule
        )
    return _brevitas(config)


_SYQ = {
    ("binary", "layer"): syq.SyqBinaryLayer,
    ("binary", "row"): syq.SyqBinaryRow,
    ("binary", "pixel"): syq.SyqBinaryPixel,
    ("ternary", "layer"): syq.SyqTernaryLayer,
    ("ternary", "row"): syq.SyqTernaryRow,
    ("ternary", "pixel"): syq.SyqTernaryPixel,
}
_LAQ: dict[str, Any] = {
    "binary": loss_aware.LossAwareBinary,
    "ternary": loss_aware.LossAwareTernary,
    "two-scale": loss_aware.LossAwareTwoScales,
    "linear": loss_aware.LossAwareLinear,
    "logarithmic": loss_aware.LossAwareLogarithmic,
}


def _brevitas(config: QuantizationConfig) -> type:
    if config.weights == "binary":  # the constant scale of FINN's published networks
        return SignedBinaryWeightPerTensorConst.let(scaling_init=0.1)  # type: ignore[no-any-return]
    # The mean magnitude: a constant scale would leave all weights of wide layers at 0; a learned
    # one, which batch normalization makes irrelevant, drifts to 0 and beyond.
    return SignedTernaryWeightPerTensorConst.let(  # type: ignore[no-any-return]
        scaling_impl_type=ScalingImplType.STATS, scaling_stats_op=StatsOp.AVE
    )


def _alq(config: AlqConfig, shape: tuple[int, ...]) -> type:
    if len(shape) > 2:
        return AlqWeights.let(structure=config.structure, bits=config.bits)  # type: ignore[no-any-return]
    pieces = next(p for p in range(config.pieces, 0, -1) if shape[1] % p == 0)
    return AlqWeights.let(  # type: ignore[no-any-return]
        structure="subchannelwise", pieces=pieces, bits=config.bits
    )


def sign() -> nn.Module:
    """-1 below zero, else +1."""
    quantizer: nn.Module = qnn.QuantIdentity(
        act_quant=SignedBinaryActPerTensorConst, min_val=-1.0, max_val=1.0
    )
    return quantizer


def _convolution(layer: Any, config: QuantizationConfig) -> nn.Module:
    quantizer = weight_quantizer(config, layer.weight)
    if quantizer is None:
        return layer  # type: ignore[no-any-return]
    if layer.transposed and issubclass(quantizer, AlqWeights | MultibitWeights):
        raise UserError(
            f"bases per output channel ({config.method}) for a {type(layer).__name__}",
            remedy='quantize it otherwise, layers={name: {"weights": "int8"}}, or choose method '
            "syq, laq or fractional-bits",
        )
    arguments = {"output_padding": layer.output_padding} if layer.transposed else {}
    kind = kind_of(layer)
    assert kind is not None
    twin: nn.Module = getattr(qnn, f"Quant{kind.__name__}")(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        padding_mode=layer.padding_mode,
        **arguments,
        **_common(layer, quantizer),
    )
    return _with_parameters_of(layer, twin)


def _linear(layer: Any, config: QuantizationConfig) -> nn.Module:
    quantizer = weight_quantizer(config, layer.weight)
    if quantizer is None:
        return layer  # type: ignore[no-any-return]
    twin: nn.Module = qnn.QuantLinear(
        layer.in_features, layer.out_features, **_common(layer, quantizer)
    )
    return _with_parameters_of(layer, twin)


def _embedding(layer: Any, config: QuantizationConfig) -> nn.Module:
    """A table of 8 bits, whatever the weights have; nothing is multiplied by it."""
    if config.weights == "float":
        return layer  # type: ignore[no-any-return]
    twin: nn.Module = qnn.QuantEmbedding(
        layer.num_embeddings,
        layer.embedding_dim,
        padding_idx=layer.padding_idx,
        max_norm=layer.max_norm,
        norm_type=layer.norm_type,
        scale_grad_by_freq=layer.scale_grad_by_freq,
        sparse=layer.sparse,
        weight_quant=Int8WeightPerTensorFixedPoint,
        device=layer.weight.device,
        dtype=layer.weight.dtype,
    )
    return _with_parameters_of(layer, twin)


def _lstm(layer: Any, config: QuantizationConfig) -> nn.Module:
    if config.weights == "float" and config.activations is None:
        return layer  # type: ignore[no-any-return]

    def quantizer(weights: Tensor) -> type | None:
        if config.weights == "int8":  # the scales of two tensors meet in a sum
            return Int8WeightPerTensorFixedPoint  # type: ignore[no-any-return]
        return weight_quantizer(config, weights)

    twin: nn.Module = QuantizedLstm(layer, quantizer, config.activations)
    return twin.train(layer.training)


def _common(layer: Any, quantizer: type) -> dict[str, Any]:
    return {
        "bias": layer.bias is not None,
        "weight_quant": quantizer,
        "device": layer.weight.device,
        "dtype": layer.weight.dtype,
    }


def _with_parameters_of(layer: nn.Module, twin: nn.Module) -> nn.Module:
    missing, unexpected = twin.load_state_dict(layer.state_dict(), strict=False)
    assert not unexpected, unexpected
    assert all("tensor_quant" in name for name in missing), missing
    return twin.train(layer.training)


def _relu(layer: nn.Module, config: QuantizationConfig) -> nn.Module:
    if config.activations is None:
        return layer
    if isinstance(config, AlqConfig) and config.activation_levels == "multibit":
        return MultibitReLU(config.activations)
    if config.activations == 1:
        return sign()
    twin: nn.Module = qnn.QuantReLU(act_quant=FixedPointActivation, bit_width=config.activations)
    return twin


def _signed(layer: nn.Module, config: QuantizationConfig) -> nn.Module:
    """The layer with a signed quantizer of the same steps as `_relu` has behind it."""
    if config.activations is None:
        return layer
    if config.activations == 1 and isinstance(layer, nn.Hardtanh):
        return sign()
    quantizer = qnn.QuantIdentity(
        act_quant=SignedFixedPointActivation, bit_width=config.activations + 1
    )
    return quantizer if isinstance(layer, Branch) else nn.Sequential(layer, quantizer)


_TWINS: dict[type[nn.Module], Callable[[nn.Module, QuantizationConfig], nn.Module]] = {
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.ConvTranspose1d: _convolution,
    nn.ConvTranspose2d: _convolution,
    nn.Linear: _linear,
    nn.Embedding: _embedding,
    nn.LSTM: _lstm,
    nn.ReLU: _relu,
    nn.ReLU6: _relu,
    nn.LeakyReLU: _signed,
    nn.Hardtanh: _signed,
    Branch: _signed,
}


def twin_of(layer: nn.Module, config: QuantizationConfig) -> nn.Module:
    """The twin of one layer, with its parameters, on its device; or itself, if it stays as it is.

    Raises:
        UserError: if the method cannot quantize it.
    """
    kind = kind_of(layer)
    assert kind is not None
    return _TWINS[kind](layer, config)


def kind_of(layer: nn.Module) -> type[nn.Module] | None:
    """The class of torch.nn that `layer` is in all that it computes, None if it has no twin.

    A subclass may have a constructor of its own, but no other `forward`, and nothing that makes its
    weights from something else (`torch.nn.utils.parametrize`, `weight_norm`, `prune`).
    """
    kind = base_of(layer)
    if kind is None or any(layer.children()):
        return None
    for method in ("forward", "_conv_forward"):
        if getattr(type(layer), method, None) is not getattr(kind, method, None):
            return None
    if isinstance(layer, nn.LSTM):
        weights = set(layer._flat_weights_names)
    else:
        weights = {"weight"} if hasattr(layer, "weight") else set()
    return kind if weights <= layer._parameters.keys() else None


def base_of(layer: nn.Module) -> type[nn.Module] | None:
    """The nearest of the classes with twins that `layer` is an instance of."""
    return next((base for base in type(layer).__mro__ if base in _TWINS), None)
