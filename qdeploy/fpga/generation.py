# SPDX-License-Identifier: Apache-2.0
"""A folded graph as a folder of Verilog that any tool can read, with its description."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from onnx import NodeProto
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from qdeploy.files import content_hash
from qdeploy.fpga.board import Board
from qdeploy.fpga.design import Design, DesignNode, ScaleForm, Stream, Tap
from qdeploy.fpga.finn_import import dataflow_performance
from qdeploy.fpga.graph_builder import verilog_name
from qdeploy.fpga.hls_layers import refuse_hls
from qdeploy.fpga.memory import contents_files
from qdeploy.fpga.scale_forms import scale_forms
from qdeploy.fpga.solver.options import node_cost
from qdeploy.fpga.stitching import observed_streams, stitch, stream_nets
from qdeploy.fpga.streams import scheduled_latency
from qdeploy.integer import IntegerNetwork, Tensor


def generate(model: ModelWrapper, network: IntegerNetwork, board: Board, directory: Path) -> Design:
    """Write the operators used, one module per node, its constants, the top module and design.json.

    Nothing in the folder names a place outside it.

    Args:
        model: the `model` of what `fold` returned; stays as it is.
        network: the network it was made from.
        board: part and clock.
        directory: where the files go; it exists.

    Raises:
        UserError: if a node is one of FINN's HLS operators.
    """
    refuse_hls(model)
    model = copy.deepcopy(model)
    top = f"{verilog_name(network.name)}_top"
    files: dict[str, None] = {}
    for node in model.graph.node:
        operator = getCustomOp(node)
        operator.set_nodeattr("code_gen_dir_ipgen", str(directory.resolve()))
        operator.code_generation_ipgen(model, board.part, 1e3 / board.clock_mhz)
        for path in map(Path, operator.get_rtl_file_list(abspath=True)):
            if path.name not in files and path.parent != directory.resolve():
                shutil.copyfile(path, directory / path.name)
            files[path.name] = None
    (directory / f"{top}.v").write_text(stitch(model, network.name, top))
    performance: dict[str, Any] = model.analysis(dataflow_performance)
    forms = scale_forms(model, network)
    first, last = getCustomOp(model.graph.node[0]), getCustomOp(model.graph.node[-1])
    design = Design(
        name=network.name,
        top=top,
        files=(*files, f"{top}.v"),
        memories={
            path.name: content_hash(path)
            for name in files
            for path in contents_files(directory / name)
        },
        part=board.part,
        clock_mhz=board.clock_mhz,
        input=_stream(network.input_tensor, first.get_folded_input_shape(), first, "in"),
        output=_stream(network.output_tensor, last.get_folded_output_shape(), last, "out"),
        cycles_per_frame=performance["max_cycles"],
        latency=scheduled_latency(model),
        critical_node=performance["max_cycles_node_name"],
        nodes=tuple(
            _describe(model, node, board, forms.get(node.name, ())) for node in model.graph.node
        ),
        taps=tuple(_taps(model, network)),
        streams=tuple(observed_streams(model).values()),
    )
    design.save(directory)
    return design


def _taps(model: ModelWrapper, network: IntegerNetwork) -> Iterator[Tap]:
    nets = stream_nets(model)
    for node in model.graph.node:
        tensor = network.tensors.get(node.output[0])
        if tensor is not None:
            operator = getCustomOp(node)
            yield Tap(
                layer=operator.get_nodeattr("layer"),
                tensor=tensor.name,
                **nets[tensor.name],
                stream=_stream(tensor, operator.get_folded_output_shape(), operator, "out"),
            )


def _stream(tensor: Tensor, folded_shape: tuple[int, ...], operator: Any, side: str) -> Stream:
    kind = getattr(operator, f"get_{side}put_datatype")()
    return Stream(
        shape=(*tensor.shape[1:], tensor.shape[0]),
        bits=kind.bitwidth(),
        signed=kind.signed(),
        bipolar=kind == DataType["BIPOLAR"],
        elements_per_word=folded_shape[-1],
        words_per_frame=prod(folded_shape[:-1]),
        width=getattr(operator, f"get_{side}stream_width_padded")(),
    )


def _neighbours(model: ModelWrapper, fifo: NodeProto) -> dict[str, str | None]:
    writer, reader = model.find_producer(fifo.input[0]), model.find_consumer(fifo.output[0])
    return {"writer": writer.name if writer else None, "reader": reader.name if reader else None}


def _describe(
    model: ModelWrapper, node: NodeProto, board: Board, forms: tuple[ScaleForm, ...]
) -> DesignNode:
    operator = getCustomOp(node)
    declared = operator.get_nodeattr_types()
    finn = operator.finn_estimate(board.part)

    def attribute(name: str) -> Any:
        return operator.get_nodeattr(name) if name in declared else None

    return DesignNode(
        name=node.name,
        layer=attribute("layer"),
        operator=operator.operator,
        module=operator.get_verilog_top_module_name(),
        pe=attribute("PE"),
        simd=attribute("SIMD"),
        depth=attribute("depth"),
        **(_neighbours(model, node) if operator.operator == "fifo" else {}),
        input_streams=operator.input_streams(),
        output_streams=operator.output_streams(),
        weight_bits=operator.matrix.weight_bits if "codes" in declared else None,
        weight_memory=operator.weight_style() if "weight_memory" in declared else None,
        products=attribute("products"),
        scale_form=attribute("scale_form"),
        scale_forms=forms,
        cycles=operator.get_exp_cycles(),
        input_bits=operator.get_instream_width(),
        output_bits=operator.get_outstream_width(),
        predicted=node_cost(model, operator),
        finn_luts=finn.lut,
        finn_bram18=finn.bram18,
        finn_dsps=finn.dsp,
    )
