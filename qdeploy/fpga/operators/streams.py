# SPDX-License-Identifier: Apache-2.0
"""Where streams fork and join: DuplicateStreams, StreamingConcat and our own WeightedAdd."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from finn.custom_op.fpgadataflow.concat import StreamingConcat
from finn.custom_op.fpgadataflow.duplicatestreams import DuplicateStreams
from finn.custom_op.fpgadataflow.hls.concat_hls import StreamingConcat_hls
from finn.custom_op.fpgadataflow.hls.duplicatestreams_hls import DuplicateStreams_hls
from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from qonnx.core.datatype import BaseDataType, DataType

from qdeploy.fpga.operators.wrapper import VerilogOperator


class Fork(VerilogOperator, DuplicateStreams):  # type: ignore[misc]
    """DuplicateStreams (hw/rtl/stream_fork.v)."""

    operator = "stream_fork"
    finn_implementation = DuplicateStreams_hls

    def output_streams(self) -> int:
        """One for each reader."""
        return len(self.onnx_node.output)

    def parameters(self) -> dict[str, int | str]:
        """Parameters of stream_fork.v."""
        return {"WIDTH": self.get_instream_width(), "COPIES": self.output_streams()}


class Join(VerilogOperator):
    """What joins of streams share: elements are extended to a common type."""

    def input_streams(self) -> int:
        """All inputs."""
        return len(self.onnx_node.input)

    def common_bits(self) -> int:
        """Bits that hold an element of every input; two's complement if one of them is signed."""
        kinds = [self.get_input_datatype(i) for i in range(self.input_streams())]
        signed = any(kind.signed() for kind in kinds)
        return max(int(kind.bitwidth()) + (signed and not kind.signed()) for kind in kinds)

    def input_data(self, index: int) -> str:
        """The elements of a word, each extended."""
        kind = self.get_input_datatype(index)
        bits = kind.bitwidth()
        more = self.common_bits() - bits
        if not more:
            return super().input_data(index)
        data, parts = f"in{index}_V_TDATA", []
        for low in range(0, self.get_instream_width(index), bits):
            sign = f"{data}[{low + bits - 1}]" if kind.signed() else "1'b0"
            parts.append(f"{{{more}{{{sign}}}}}, {data}[{low + bits - 1}:{low}]")
        return f"{{{', '.join(reversed(parts))}}}"


class Concat(Join, StreamingConcat):  # type: ignore[misc]
    """StreamingConcat (hw/rtl/stream_concat.v)."""

    operator = "stream_concat"
    finn_implementation = StreamingConcat_hls

    def get_output_datatype(self, ind: int = 0) -> BaseDataType:
        """The common type of the inputs."""
        signed = any(self.get_input_datatype(i).signed() for i in range(self.input_streams()))
        return DataType[f"{'INT' if signed else 'UINT'}{self.common_bits()}"]

    def parameters(self) -> dict[str, int | str]:
        """Parameters of stream_concat.v."""
        words = [n // self.get_nodeattr("SIMD") for n in self.get_nodeattr("ChannelsPerStream")]
        bits = max(words).bit_length()
        return {
            "WIDTH": self.get_outstream_width(),
            "INPUTS": self.input_streams(),
            "COUNT_BITS": bits,
            "WORDS": packed(words, bits),
        }


class WeightedAdd(Join, HWCustomOp):  # type: ignore[misc]
    """y = Σ multipliers[i] · input i (hw/rtl/stream_add.v). FINN has no such integer operator."""

    operator = "stream_add"

    def get_nodeattr_types(self) -> dict[str, tuple[Any, ...]]:
        """Shape as FINN's DuplicateStreams, types and multipliers."""
        return {
            **super().get_nodeattr_types(),
            "NumChannels": ("i", True, 0),
            "PE": ("i", True, 0),
            "inputDataTypes": ("strings", True, [""]),
            "outputDataType": ("s", True, ""),
            "numInputVectors": ("ints", False, [1]),
            "multipliers": ("ints", True, []),
        }

    def get_normal_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """[..., channels]."""
        return (*self.get_nodeattr("numInputVectors"), self.get_nodeattr("NumChannels"))

    def get_normal_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """That of the inputs."""
        return self.get_normal_input_shape()

    def get_folded_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """[..., words, PE]."""
        channels, pe = self.get_nodeattr("NumChannels"), self.get_nodeattr("PE")
        return (*self.get_nodeattr("numInputVectors"), channels // pe, pe)

    def get_folded_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """That of the inputs."""
        return self.get_folded_input_shape()

    def get_input_datatype(self, ind: int = 0) -> BaseDataType:
        """The type of an input."""
        return DataType[self.get_nodeattr("inputDataTypes")[ind]]

    def get_output_datatype(self, ind: int = 0) -> BaseDataType:
        """The type of the sums."""
        return DataType[self.get_nodeattr("outputDataType")]

    def get_instream_width(self, ind: int = 0) -> int:
        """Bits of a word of an input."""
        return int(self.get_nodeattr("PE") * self.get_input_datatype(ind).bitwidth())

    def get_outstream_width(self, ind: int = 0) -> int:
        """Bits of a word of the output."""
        return int(self.get_nodeattr("PE") * self.get_output_datatype().bitwidth())

    def get_number_output_values(self) -> int:
        """Words of the output."""
        return self.get_exp_cycles()

    def get_exp_cycles(self) -> int:
        """One word per cycle."""
        return prod(self.get_folded_output_shape()[:-1])

    def infer_node_datatype(self, model: Any) -> None:
        """Inputs as annotated; the type of the sums is an attribute."""
        kinds = [model.get_tensor_datatype(name).name for name in self.onnx_node.input]
        self.set_nodeattr("inputDataTypes", kinds)
        model.set_tensor_datatype(self.onnx_node.output[0], self.get_output_datatype())

    def compute(self, context: dict[str, Any], graph: Any) -> None:
        """Exact integers."""
        terms = zip(self.get_nodeattr("multipliers"), self.onnx_node.input, strict=True)
        total = sum(m * context[name].astype(np.int64) for m, name in terms)
        context[self.onnx_node.output[0]] = np.asarray(total, np.float32)

    def parameters(self) -> dict[str, int | str]:
        """Parameters of stream_add.v."""
        multipliers = self.get_nodeattr("multipliers")
        bits = max(map(abs, multipliers)).bit_length() + 1
        kinds = [self.get_input_datatype(i) for i in range(self.input_streams())]
        return {
            "INPUTS": self.input_streams(),
            "PE": self.get_nodeattr("PE"),
            "INPUT_BITS": self.common_bits(),
            "INPUT_SIGNED": int(any(kind.signed() for kind in kinds)),
            "MULTIPLIER_BITS": bits,
            "MULTIPLIERS": packed(multipliers, bits),
            "OUTPUT_BITS": self.get_output_datatype().bitwidth(),
        }


def packed(values: list[int], bits: int) -> str:
    """Verilog of a vector of integers, the first in the lowest bits, two's complement."""
    number = sum((int(v) % (1 << bits)) << (i * bits) for i, v in enumerate(values))
    return f"{len(values) * bits}'h{number:x}"
