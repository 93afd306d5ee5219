# SPDX-License-Identifier: Apache-2.0
"""From an ordinary torch module to its quantized twin, layer by layer, under the same names."""

from __future__ import annotations

import copy
import inspect
from itertools import chain
from typing import Any, TypeVar

import brevitas.nn as qnn
from brevitas.nn.mixin.base import QuantProxyMixin
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize

from qdeploy.errors import UserError
from qdeploy.quantizers.activations import FixedPointActivation
from qdeploy.quantizers.bits import quantized_layers
from qdeploy.quantizers.config import (
    AlqConfig,
    FractionalBitsConfig,
    QuantizationConfig,
    of_layer,
)
from qdeploy.quantizers.twins import base_of, kind_of, sign, twin_of

INPUT_BITS = 8
Module = TypeVar("Module", bound=nn.Module)


def quantize(module: Module, config: QuantizationConfig) -> Module:
    """The twin of `module`, which is not changed: other layers of the same names and parameters.

    Convolutions, fully connected layers, `ReLU` (also `ReLU6`, `LeakyReLU`, `Hardtanh`) and
    `Branch` get quantizers, and so do embeddings (8 bits) and LSTM layers (`QuantizedLstm`). A
    layer that is used in several places stays one layer; its first name counts. All else stays,
    Brevitas layers too. The first argument of `forward` gets a quantizer as well, submodule
    `input_quantizer`, unless it holds integers, as tokens do, or the network's attribute
    `input_bits` is 0. The twin's attribute `quantization` is `config`.

    Raises:
        UserError: if `config.layers` names a layer that there is not; if a layer has weights and
            no twin, or parameters that another layer has too; if the method has no layer at all.
    """
    names = _layers(module, config)
    twin = copy.deepcopy(module)
    if "input_bits" not in config.model_fields_set:
        config = config.model_copy(update={"input_bits": _default_input_bits(module, config)})
    tensors = chain(twin.parameters(), twin.buffers())
    tensor = next((tensor for tensor in tensors if tensor.is_floating_point()), None)
    layers = {name: twin.get_submodule(name) for name in names}
    weighted = [name for name, layer in layers.items() if hasattr(layer, "weight")]
    ends = {weighted[0], weighted[-1]} if weighted else set()
    twins: dict[nn.Module, nn.Module] = {}
    for name, layer in layers.items():
        own = of_layer(config, name)
        if name in ends and config.first_and_last == "int8" and name not in config.layers:
            own = own.model_copy(update={"weights": "int8"})
        try:
            quantized = twin_of(layer, own)
        except UserError as error:
            raise UserError(error.problem, layer=name, remedy=error.remedy) from error
        if quantized is not layer:
            on = next(layer.parameters(), tensor)
            twins[layer] = quantized if on is None else quantized.to(on)
    _refuse_shared_parameters(twin, twins)
    twin = _with_layers(twin, twins)
    if isinstance(config, AlqConfig | FractionalBitsConfig) and not any(quantized_layers(twin)):
        raise UserError(
            f"method {config.method} has no layer: the weights of all are int8 or float",
            remedy="leave it a layer, or choose another method",
        )
    if config.input_bits is not None:
        quantizer = _InputQuantizer(config.input_bits)
        twin.input_quantizer = quantizer if tensor is None else quantizer.to(tensor)
        twin.register_forward_pre_hook(_quantize_input, with_kwargs=True)
    twin.quantization = config  # type: ignore[assignment]
    return twin


def _layers(module: nn.Module, config: QuantizationConfig) -> list[str]:
    """The layers that have twins, in the order in which they are registered."""
    layers = []
    left: tuple[str, ...] = ()  # as they are, with all inside
    for name, layer in module.named_modules():
        if name.startswith(left):
            continue
        if isinstance(layer, LazyModuleMixin):
            raise UserError(
                f"a {type(layer).__name__} without shape yet",
                layer=name,
                remedy="run the module once on an example input first",
            )
        if kind_of(layer) is not None:
            layers.append(name)
        elif isinstance(layer, QuantProxyMixin) or not _has_weights(layer):
            continue
        elif of_layer(config, name).weights == "float":
            left += (f"{name}." if name else "",)
        else:
            raise UserError(
                _why_no_twin(layer),
                layer=name,
                remedy="use the plain layer of torch.nn (torch.nn.utils.parametrize."
                "remove_parametrizations makes it one), or leave it float, with all inside: "
                f'layers={{"{name}": {{"weights": "float"}}}}',
            )
    known = [*layers, *(name.removesuffix(".") for name in left)]
    if unknown := sorted(config.layers.keys() - set(known)):
        raise UserError(
            f"no layer '{unknown[0]}' to quantize",
            remedy=f"quantization.layers may name {', '.join(known)}",
        )
    return layers


def _has_weights(layer: nn.Module) -> bool:
    """Whether matrices or kernels are among its own parameters, given or parametrized."""
    if base_of(layer) is not None:
        return hasattr(layer, "weight")
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        return False
    own = dict(layer.named_parameters(recurse=False))
    if parametrize.is_parametrized(layer):
        own |= {name: getattr(layer, name) for name in layer.parametrizations}  # type: ignore[union-attr]
    return any("weight" in name and tensor.ndim > 1 for name, tensor in own.items())


def _why_no_twin(layer: nn.Module) -> str:
    base, name = base_of(layer), type(layer).__name__
    if base is None:
        return f"there is no quantized {name}"
    return (
        f"a {name} that is no plain {base.__name__}: it has another forward, layers or parameters"
    )


def _refuse_shared_parameters(module: nn.Module, twins: dict[nn.Module, nn.Module]) -> None:
    owners: dict[int, tuple[str, nn.Module]] = {}
    for name, layer in module.named_modules():
        for parameter in layer.parameters(recurse=False):
            other, owner = owners.setdefault(id(parameter), (name, layer))
            if owner is not layer and (layer in twins or owner in twins):
                raise UserError(
                    f"one tensor is a parameter of this layer and of '{other}'",
                    layer=name,
                    remedy="give each a copy, nn.Parameter(tensor.detach().clone()), use one layer "
                    'in both places, or leave both float: {"weights": "float"}',
                )


def _with_layers(module: Module, twins: dict[nn.Module, nn.Module]) -> Module:
    """The module with the twins at every place of their layers."""
    places = [(parent, *item) for parent in module.modules() for item in parent._modules.items()]
    for parent, name, layer in places:
        if layer in twins:
            setattr(parent, name, twins[layer])
    return twins.get(module, module)  # type: ignore[return-value]


def _default_input_bits(module: nn.Module, config: QuantizationConfig) -> int | None:
    bits: int | None = getattr(module, "input_bits", INPUT_BITS)
    return config.activations if bits is None else bits or None


def _quantize_input(
    module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `forward` with the first of them quantized."""
    if arguments:
        return (_quantized(module, arguments[0]), *arguments[1:]), keywords
    names = [name for name in inspect.signature(module.forward).parameters if name in keywords]
    return arguments, keywords | {name: _quantized(module, keywords[name]) for name in names[:1]}


def _quantized(module: nn.Module, argument: Any) -> Any:
    if isinstance(argument, Tensor) and not argument.is_floating_point():
        return argument
    return module.input_quantizer(argument, before=True)  # type: ignore[operator]


class _InputQuantizer(nn.Module):
    """Codes of the input before `forward`; behind it, as last layer of a Sequential, nothing."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        if bits == 1:
            self.quantizer = sign()
        else:
            self.quantizer = qnn.QuantIdentity(act_quant=FixedPointActivation, bit_width=bits)

    def forward(self, x: Any, before: bool = False) -> Any:
        if not before:
            return x
        return self.quantizer(2 * x - 1 if self.bits == 1 else x)
