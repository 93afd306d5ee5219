# SPDX-License-Identifier: Apache-2.0
"""Brevitas networks to standard QONNX files: Quant and BipolarQuant nodes, opset 13."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import onnx
import torch
from brevitas.proxy.runtime_quant import ActQuantProxyFromInjectorBase
from torch import Tensor, nn

from qdeploy.errors import UserError
from qdeploy.files import atomic_file
from qdeploy.quantizers.lstm import QuantizedLstm
from qdeploy.quantizers.quantizer import Plane, WeightQuantizer, plane_bits
from qdeploy.training import checkpoint

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Brevitas names what it could use and does not need
    from brevitas.export import export_qonnx as brevitas_export
    from brevitas.export.onnx.qonnx.function import BrevitasBinaryQuantOp, BrevitasQuantOp

OPSET = 13


def export(path: Path, output: Path) -> None:
    """Export the network in a checkpoint.

    Args:
        path: network.safetensors, as `qdeploy.training.train` writes it.
        output: ONNX file to write.

    Raises:
        UserError: if the checkpoint cannot be read.
    """
    network = checkpoint.load(path)
    export_qonnx(network, torch.zeros(1, *network.input_shape, dtype=network.input_dtype), output)


def export_qonnx(module: nn.Module, example_input: Tensor, output: Path) -> None:
    """Export any torch module built of Brevitas layers, as it computes in evaluation mode.

    The file has one input, "input", of the fixed shape of `example_input` (QONNX tools need one;
    use a batch of 1), and one output, "output". Nodes are named after the module's layers
    ("/conv1/Conv"), batch normalization stays a node of its own, and the weights in the file lie
    on the quantizer's grid. `module` itself is not changed.

    Raises:
        UserError: if the module cannot run on `example_input` or has an operator without ONNX
            counterpart.
    """
    _refuse_float_inside(module)
    module = copy.deepcopy(module).cpu().eval()
    try:
        with torch.no_grad():
            module(example_input)
    except RuntimeError as error:
        raise UserError(
            f"the network cannot run on an input of shape {tuple(example_input.shape)}: {error}",
            remedy="give an example input of the network's shape, with the batch axis",
        ) from error
    _refuse_unsigned_bits(module)
    _deploy_weights(module)
    with atomic_file(output) as partial:
        onnx.save(_traced(module, example_input), partial)


def _refuse_float_inside(module: nn.Module) -> None:
    for name, layer in module.named_modules():
        plain = isinstance(layer, nn.LSTM)
        if plain or (isinstance(layer, QuantizedLstm) and layer.is_float):
            raise UserError(
                "an LSTM layer with float gates and states",
                layer=name,
                remedy="quantize them too: qdeploy.quantize(..., activations=8)",
            )


def _refuse_unsigned_bits(module: nn.Module) -> None:
    """Brevitas writes every one-bit quantizer as BipolarQuant, also that of 0 and 1."""
    for name, layer in module.named_modules():
        if not isinstance(layer, ActQuantProxyFromInjectorBase) or not layer.is_quant_enabled:
            continue
        if not layer.is_signed and float(layer.bit_width()) == 1:
            raise UserError(
                "unsigned activations of one bit have no standard node",
                layer=name.removesuffix(".act_quant"),
                remedy="use two bits, or signs: brevitas.nn.QuantIdentity with "
                "SignedBinaryActPerTensorConst",
            )


def _deploy_weights(module: nn.Module) -> None:
    """Make the weights of our quantizers sums of planes, one Quant or BipolarQuant node each.

    Brevitas exports the float weights, and Quant would round them at half a scale, where SYQ has
    its threshold elsewhere. From scale · code, Quant and BipolarQuant both return exactly that.
    """
    for layer in module.modules():
        quantizer = getattr(getattr(layer, "weight_quant", None), "tensor_quant", None)
        if isinstance(quantizer, WeightQuantizer):
            with torch.no_grad():
                planes = quantizer.deployed(layer.weight)  # type: ignore[arg-type]
                layer.weight.copy_(planes[0].values())  # type: ignore[operator]
            layer.weight_quant = _Planes(planes)


class _Planes(nn.Module):
    """Stands for the weight quantizer of a layer whose weights are those of the first plane."""

    is_quant_enabled = True
    requires_quant_input = False

    def __init__(self, planes: tuple[Plane, ...]) -> None:
        super().__init__()
        self.first, *others = (_Plane(plane) for plane in planes)
        self.others = nn.ModuleList(others)

    def forward(self, weights: Tensor) -> Tensor:
        total: Tensor = self.first(weights)
        for plane in self.others:
            total = total + plane(plane.values)
        return total


class _Plane(nn.Module):
    """A Quant or BipolarQuant node, to be fed with values that it leaves as they are."""

    def __init__(self, plane: Plane) -> None:
        super().__init__()
        self.bits = plane_bits(plane)
        # No buffers: torch would merge equal ones and leave Identity nodes behind.
        self.values = plane.values()
        self.scale = plane.expanded_scale()
        self.zero_point = plane.scale.new_zeros(())
        self.bit_width = plane.scale.new_tensor(float(self.bits))

    def forward(self, values: Tensor) -> Tensor:
        function = BrevitasBinaryQuantOp if self.bits == 1 else BrevitasQuantOp
        narrow, signed = True, True
        result: Tensor = function.torchscript.apply(
            values, self.scale, self.zero_point, self.bit_width, narrow, signed, "ROUND"
        )
        return result


def _traced(module: nn.Module, example_input: Tensor) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model: onnx.ModelProto = brevitas_export(
                module,
                args=example_input,
                dynamo=False,
                opset_version=OPSET,
                input_names=["input"],
                output_names=["output"],
                keep_initializers_as_inputs=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise UserError(
                f"the network cannot be exported: {error}",
                remedy="replace the operator by one that ONNX has",
            ) from error
        except RuntimeError as error:
            raise UserError(
                f"Brevitas cannot export the network: {error}",
                remedy="give an LSTM layer all of its quantizers or none",
            ) from error
    return model
