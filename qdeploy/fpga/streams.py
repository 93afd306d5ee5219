# SPDX-License-Identifier: Apache-2.0
"""Streams between hardware nodes: width converters where words differ, and FIFOs."""

from __future__ import annotations

from math import lcm

from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from qdeploy.fpga.finn_import import InsertDWC, InsertFIFO
from qdeploy.fpga.mapping import node_attribute, set_attributes, specialize, unique_name
from qdeploy.fpga.schedule.depths import Schedule, find_schedule
from qdeploy.fpga.schedule.fifos import SHALLOW
from qdeploy.fpga.schedule.record import ScheduledFifo, ScheduledNode, ScheduleRecord

CONVERTER = "StreamingDataWidthConverter"
_LATENCY = "qdeploy_latency"  # in the metadata of a model


def insert_streams(
    model: ModelWrapper, cycles: int, *, smallest: bool = False
) -> tuple[ModelWrapper, ScheduleRecord]:
    """The model with converters between streams of unequal words and FIFOs, and its schedule.

    A FIFO stands in front of every operator and at the output, but in front of a converter only if
    it must hold more than the word that waits there.

    Args:
        model: folded RTL nodes in topological order.
        cycles: per frame, at least those of the slowest node.
        smallest: see `find_schedule`.
    """
    model = model.transform(InsertDWC())
    _split_converters(model)
    _name(model, CONVERTER, "_width")
    specialize(model)
    least = {
        tensor: 1 if node.op_type == f"{CONVERTER}_rtl" else SHALLOW
        for node in model.graph.node
        for tensor in node.input
    }
    least[model.graph.output[0].name] = SHALLOW
    schedule = find_schedule(model, cycles, least, smallest=smallest)
    nodes = tuple(_scheduled(node, schedule) for node in model.graph.node)
    # By the reader, as FINN gives the streams new names.
    streams = {(None, 0): model.graph.output[0].name}
    for node in model.graph.node:
        tensors = node.input[: getCustomOp(node).input_streams()]
        streams |= {(node.name, port): tensor for port, tensor in enumerate(tensors)}
        depths = [schedule.depths[tensor] for tensor in tensors]
        set_attributes(node, inFIFODepths=depths, outFIFODepths=[SHALLOW])
    model = model.transform(InsertFIFO(create_shallow_fifos=True))
    peaks = []
    for node in [node for node in model.graph.node if node.op_type == "StreamingFIFO"]:
        reader = model.find_consumer(node.output[0])
        port = list(reader.input).index(node.output[0]) if reader else 0
        stream = streams[reader.name if reader else None, port]
        if schedule.depths[stream] > 1:
            peaks.append((node, schedule.peaks[stream]))
        else:
            reader.input[port] = node.input[0]
            model.graph.node.remove(node)
    _name(model, "StreamingFIFO", "_fifo")
    specialize(model)
    fifos = tuple(
        ScheduledFifo(
            name=node.name,
            layer=node_attribute(node, "layer"),
            bits=getCustomOp(node).get_instream_width(),
            depth=getCustomOp(node).get_nodeattr("depth"),
            peak=peak,
        )
        for node, peak in peaks
    )
    model.set_metadata_prop(_LATENCY, str(schedule.latency))
    return model, ScheduleRecord(
        interval=cycles, latency=schedule.latency, nodes=nodes, fifos=fifos
    )


def scheduled_latency(model: ModelWrapper) -> int:
    """The `latency` of the schedule of a model with streams."""
    return int(model.get_metadata_prop(_LATENCY))


def _scheduled(node: NodeProto, schedule: Schedule) -> ScheduledNode:
    behaviour = schedule.behaviours[node.name]
    times = [schedule.times[actor] for actor in behaviour.actors]
    return ScheduledNode(
        name=node.name,
        layer=node_attribute(node, "layer"),
        start=min(int(steps[0]) for steps in times),
        end=max(int(steps[-1]) for steps in times),
        busy=behaviour.busy,
    )


def _split_converters(model: ModelWrapper) -> None:
    """Two steps through the least common multiple where neither width divides the other."""
    for index, node in reversed(list(enumerate(model.graph.node))):
        if node.op_type != CONVERTER:
            continue
        converter = getCustomOp(node)
        width_in, width_out = (converter.get_nodeattr(n) for n in ("inWidth", "outWidth"))
        common = lcm(width_in, width_out)
        if common in (width_in, width_out):
            continue
        between = model.make_new_valueinfo_name()
        info = model.get_tensor_valueinfo(node.output[0])
        model.graph.value_info.append(
            helper.make_tensor_value_info(
                between, info.type.tensor_type.elem_type, converter.get_nodeattr("inShape")
            )
        )
        model.set_tensor_datatype(between, converter.get_output_datatype())
        second = NodeProto()
        second.CopyFrom(node)
        second.input[0] = between
        set_attributes(second, inWidth=common)
        node.output[0] = between
        set_attributes(node, outWidth=common, outShape=converter.get_nodeattr("inShape"))
        model.graph.node.insert(index + 1, second)


def _name(model: ModelWrapper, kind: str, suffix: str) -> None:
    """Name new nodes and their tensors after the node they feed, and annotate the tensors."""
    taken = {node.name for node in model.graph.node}
    tensors = set(model.get_all_tensor_names())
    for node in model.graph.node:
        if node.op_type != kind:
            continue
        reader = model.find_consumer(node.output[0])
        while reader is not None and not reader.name:
            reader = model.find_consumer(reader.output[0])
        neighbour = reader or model.find_producer(node.input[0])
        node.name = unique_name(f"{reader.name if reader else 'output'}{suffix}", taken)
        set_attributes(node, layer=node_attribute(neighbour, "layer"))
        new = node.output[0] if reader else node.input[0]
        model.set_tensor_datatype(new, getCustomOp(node).get_output_datatype())
        model.rename_tensor(new, unique_name(node.name, tensors))
