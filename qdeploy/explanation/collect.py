# SPDX-License-Identifier: Apache-2.0
"""From the trace of a walk to the explanation."""

from __future__ import annotations

import numpy as np

from qdeploy.errors import UserError
from qdeploy.explanation.contents import (
    Bar,
    Explanation,
    IntegerOperator,
    LayerExplanation,
    NodeExplanation,
    Problem,
    Thresholds,
    WeightPlane,
)
from qdeploy.explanation.sentences import sentence
from qdeploy.explanation.trace import Trace, Visit
from qdeploy.explanation.wording import count
from qdeploy.fpga.mappable import obstacles
from qdeploy.integer import (
    Codes,
    IntegerNetwork,
    Plane,
    Tensor,
    Threshold,
    ValueRange,
    weights_of,
)
from qdeploy.lowering.values import Activation, Mixed, QuantizedConstant, RealInput, Value

# More distinct codes than this are counted in ranges.
LARGEST_HISTOGRAM = 16


def collect(trace: Trace) -> tuple[Explanation, IntegerNetwork | None]:
    """The explanation of a traced file, and its network if it has become one."""
    network: IntegerNetwork | None = None
    problem: Problem | None = None
    if trace.complete:
        try:
            network = trace.walk.network(trace.walk.result())
        except UserError as error:
            problem = _problem(error)
    problems = {} if network is None else _fpga_problems(network)
    layers = tuple(
        LayerExplanation(
            name=name,
            nodes=tuple(_node(trace, visit, network) for visit in visits),
            operators=tuple(
                _operator(trace, created, problems) for visit in visits for created in visit.created
            ),
        )
        for name, visits in trace.layers().items()
    )
    planes = [p for layer in layers for operator in layer.operators for p in operator.weights]
    explanation = Explanation(
        model=trace.source.name,
        lowers=network is not None,
        fpga=None if network is None else not problems,
        cpu=None,
        input_shape=trace.source.input_shape,
        weights=sum(bar.count for plane in planes for bar in plane.histogram),
        layers=layers,
        problem=problem,
        notes=() if network is None else network.notes,
    )
    return explanation, network


def _problem(error: UserError) -> Problem:
    return Problem(reason=error.problem, remedy=error.remedy)


def _fpga_problems(network: IntegerNetwork) -> dict[str, Problem]:
    """The first obstacle of each integer operator."""
    found: dict[str, Problem] = {}
    for error in obstacles(network):
        found.setdefault(error.layer or network.nodes[-1].name, _problem(error))
    return found


def _node(trace: Trace, visit: Visit, network: IntegerNetwork | None) -> NodeExplanation:
    found = _range(trace, visit.value)
    return NodeExplanation(
        name=visit.node.name,
        operator=visit.node.op_type,
        state=visit.state,
        became=sentence(trace, visit) + _left_out(trace, visit, network),
        constant=visit.is_constant,
        operators=visit.created,
        bits_in=_input_bits(trace, visit),
        bits_out=None if found is None else found.bits,
        range=None if found is None else (found.low, found.high),
        problem=_problem(visit.error) if visit.error else None,
    )


def _left_out(trace: Trace, visit: Visit, network: IntegerNetwork | None) -> str:
    """Which channels of what the node became the network does without."""
    outputs = [trace.operator(name).output for name in visit.created]
    lost = [
        trace.walk.builder.tensors[name].channels - network.tensors[name].channels
        for name in outputs
        if network is not None and name in network.tensors
    ]
    if not any(lost):
        return ""
    return f"; {count(max(lost), 'constant channel')} left out"


def _input_bits(trace: Trace, visit: Visit) -> int | None:
    """Of the first input that is computed, else of the first that has codes."""
    values = [trace.walk.values.get(name) for name in visit.node.input]
    computed = [value for value in values if isinstance(value, (Activation, Mixed, RealInput))]
    ranges = [_range(trace, value) for value in computed or values]
    return next((found.bits for found in ranges if found is not None), None)


def _range(trace: Trace, value: Value | None) -> ValueRange | None:
    """Of an integer tensor or of codes; None of what is real."""
    value = value.source if isinstance(value, Mixed) else value
    if isinstance(value, Activation):
        return trace.walk.builder.tensors[value.tensor].range
    if isinstance(value, QuantizedConstant) and 0 not in value.shape:
        codes = [plane.codes for plane in value.planes]
        return ValueRange(min(int(c.min()) for c in codes), max(int(c.max()) for c in codes))
    tensor = trace.walk.builder.tensors.get(trace.source.input)
    if isinstance(value, RealInput) and trace.source.input_type is not None and tensor is not None:
        return tensor.range
    return None


def _operator(trace: Trace, name: str, problems: dict[str, Problem]) -> IntegerOperator:
    node = trace.operator(name)
    tensor: Tensor = trace.walk.builder.tensors[node.output]
    scale = [float(s) for s in tensor.meaning.scale]
    offset = [float(o) for o in tensor.meaning.offset]
    return IntegerOperator(
        name=name,
        kind=node.kind,
        shape=tensor.shape,
        bits=tensor.range.bits,
        range=(tensor.range.low, tensor.range.high),
        scale=(min(scale), max(scale)),
        offset=(min(offset), max(offset)),
        weights=tuple(_plane(plane) for weights in weights_of(node) for plane in weights.planes),
        thresholds=_thresholds(trace, node) if isinstance(node, Threshold) else None,
        fpga=problems.get(name),
    )


def _plane(plane: Plane) -> WeightPlane:
    low, high = int(plane.multipliers.min()), int(plane.multipliers.max())
    return WeightPlane(
        kind=plane.kind,
        shape=plane.codes.shape,
        histogram=_histogram(plane.codes),
        multipliers=plane.multipliers.size if plane.is_scaled else 0,
        multiplier_bits=high.bit_length() if plane.is_scaled else 0,
        multiplier_range=(low, high),
    )


def _histogram(codes: Codes) -> tuple[Bar, ...]:
    low, high = int(codes.min()), int(codes.max())
    width = -(-(high - low + 1) // LARGEST_HISTOGRAM)
    counts = np.bincount((codes.astype(np.int64).ravel() - low) // width)
    return tuple(
        Bar(low=start, high=min(start + width - 1, high), count=int(count))
        for start, count in zip(range(low, high + 1, width), counts, strict=True)
    )


def _thresholds(trace: Trace, node: Threshold) -> Thresholds | None:
    if not node.thresholds.size:
        return None
    x = trace.walk.builder.tensors[node.input].range
    y = trace.walk.builder.tensors[node.output].range
    inside = (node.thresholds > x.low) & (node.thresholds <= x.high)
    return Thresholds(
        count=node.thresholds.shape[1],
        channels=node.thresholds.shape[0],
        range=(int(node.thresholds.min()), int(node.thresholds.max())),
        codes=(y.low, y.high),
        falling=int((node.step < 0).sum()),
        constant=int((~inside.any(axis=1)).sum()),
    )
