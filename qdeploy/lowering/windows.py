# SPDX-License-Identifier: Apache-2.0
"""Windows of convolutions and poolings, with all padding made explicit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from qdeploy.errors import UserError
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.source import layer_name

# Of an axis with its padding.
MAXIMUM_SIZE = 1 << 20


@dataclass(frozen=True)
class Window:
    """Windows over an image, vertical before horizontal.

    Attributes:
        pads: top, left, bottom, right; what auto_pad and ceil_mode add is part of it.
        extended: whether ceil_mode adds padding that the file does not declare.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    extended: bool

    def counts(self, sizes: tuple[int, int]) -> tuple[list[int], list[int]]:
        """How many rows, and columns, of an image of `sizes` each window without dilation holds."""
        rows, columns = (
            [
                min(start + kernel, size) - max(start, 0)
                for start in range(-before, size + after - kernel + 1, stride)
            ]
            for size, kernel, stride, before, after in zip(
                sizes, self.kernel, self.strides, self.pads[:2], self.pads[2:], strict=True
            )
        )
        return rows, columns


def window(node: onnx.NodeProto, sizes: Sequence[int], kernel: Sequence[int]) -> Window:
    """The windows of a node over one or two spatial axes of `sizes`.

    auto_pad and ceil_mode as in ONNX Conv 11, MaxPool 12 and AveragePool 11; a window that would
    start behind the data and the padding before it is left out.

    Raises:
        UserError: if the attributes do not fit the axes.
    """
    given, rank = attributes(node), len(sizes)
    strides: list[int] = given.get("strides", [1] * rank)
    dilations: list[int] = given.get("dilations", [1] * rank)
    pads: list[int] = given.get("pads", [0] * 2 * rank)
    lengths = (len(kernel), len(strides), len(dilations), len(pads))
    if rank not in (1, 2) or lengths != (rank, rank, rank, 2 * rank):
        raise UserError(
            f"{node.op_type} (node '{node.name}') with kernel {list(kernel)}, strides {strides}, "
            f"dilations {dilations} and pads {pads} on an image of size {list(sizes)}",
            layer=layer_name(node),
            remedy="only windows over one or two spatial axes are supported",
        )
    sides = []
    extended = False
    for axis, size in enumerate(sizes):
        extent = (kernel[axis] - 1) * dilations[axis] + 1
        before, after = _sides(node, size, extent, strides[axis], (pads[axis], pads[axis + rank]))
        missing = _missing(node, size, extent, strides[axis], (before, after))
        extended |= missing > 0
        if before + size + after + missing > MAXIMUM_SIZE:
            raise UserError(
                f"{node.op_type} (node '{node.name}') pads {size} to more than {MAXIMUM_SIZE}",
                layer=layer_name(node),
                remedy="check the layer's kernel and padding in the source model",
            )
        sides.append((before, after + missing))
    if rank == 1:
        sides.insert(0, (0, 0))
    (top, bottom), (left, right) = sides
    return Window(
        kernel=_two(kernel),
        strides=_two(strides),
        dilations=_two(dilations),
        pads=(top, left, bottom, right),
        extended=extended,
    )


def _sides(
    node: onnx.NodeProto, size: int, extent: int, stride: int, pads: tuple[int, int]
) -> tuple[int, int]:
    """Padding before and after the data along one axis."""
    automatic = attributes(node).get("auto_pad", "NOTSET")
    if automatic == "NOTSET":
        return pads
    if automatic == "VALID":
        return 0, 0
    if automatic not in ("SAME_UPPER", "SAME_LOWER"):
        raise UserError(
            f"{node.op_type} (node '{node.name}') with auto_pad={automatic}",
            layer=layer_name(node),
            remedy="export with explicit padding",
        )
    total = max(0, (-(-size // stride) - 1) * stride + extent - size)
    half = total // 2
    return (half, total - half) if automatic == "SAME_UPPER" else (total - half, half)


def _missing(
    node: onnx.NodeProto, size: int, extent: int, stride: int, pads: tuple[int, int]
) -> int:
    """What the last window lacks at the end, where ceil_mode allows it."""
    given = attributes(node)
    if not given.get("ceil_mode", 0) or given.get("auto_pad", "NOTSET").startswith("SAME"):
        return 0
    room = size + sum(pads) - extent
    last = -(-room // stride) * stride
    if last >= size + pads[0]:
        last -= stride
    missing = max(0, last - room)
    if missing and "auto_pad" in given:
        raise UserError(
            f"{node.op_type} (node '{node.name}') with ceil_mode and auto_pad",
            layer=layer_name(node),
            remedy="export with explicit padding",
        )
    return missing


def _two(sizes: Sequence[int]) -> tuple[int, int]:
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])
