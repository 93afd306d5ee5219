# SPDX-License-Identifier: Apache-2.0
"""The machine code of a plan, and how it is called."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from qdeploy.cpu.kernels.code import LONG, POINTER, Code
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.layouts import Levels
from qdeploy.cpu.program.planning import Plan


def emit(plan: Plan, target: Target) -> ir.Module:
    """A module with run(constants, arena, images, reals, output reals, output integers).

    The arena holds, for each image, a copy of `blank_image`.
    """
    module = ir.Module("program")
    quantizers, layers, output = (
        [step.emit(module, target, plan.image_bytes) for step in steps]
        for steps in (plan.quantize, plan.steps, [plan.output])
    )
    code = Code(module, "run", [POINTER, POINTER, LONG, POINTER, POINTER, POINTER], public=True)
    constants, arena, images, x, reals, integers = code.arguments
    for step, function in zip(plan.quantize, quantizers, strict=True):
        code.call(function, [constants, arena, images, code.long(0), code.long(step.units), x])
    for layer, function in zip(plan.steps, layers, strict=True):
        code.call(function, [constants, arena, images, code.long(0), code.long(layer.units)])
    code.call(output[0], [constants, arena, images, code.long(0), code.long(1), reals, integers])
    code.end()
    return module


def blank_image(plan: Plan) -> NDArray[np.uint8]:
    """The buffers of an image with their borders, uint8 [image_bytes]."""
    image = np.zeros(plan.image_bytes, np.uint8)
    for buffer in plan.buffers:
        layout = buffer.layout
        if not isinstance(layout, Levels):
            continue
        top, left, bottom, right = layout.border
        shape = (top + buffer.height + bottom, left + buffer.width + right, buffer.pixel_bytes)
        pixels = image[buffer.offset : buffer.offset + buffer.bytes].reshape(shape)
        pixels[..., :] = layout.pad[0]
        pixels[..., -1] = layout.pad[1]
        pixels[top : top + buffer.height, left : left + buffer.width] = 0
    return image
