# SPDX-License-Identifier: Apache-2.0
"""A part of a network compiled for a processor: machine code and the bytes it works on."""

from __future__ import annotations

from dataclasses import dataclass

from qdeploy.cpu.custom_op.glue import Signature, emit_operator
from qdeploy.cpu.kernels.compilation import compile_object
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.parts import Part
from qdeploy.cpu.program.constants import SLACK
from qdeploy.cpu.program.planning import plan
from qdeploy.cpu.program.program import blank_image, emit

# Images at once: as many as keep their buffers in the caches near a core.
_ARENA_BYTES = 1 << 19
_MOST_IMAGES = 64


@dataclass(frozen=True, eq=False)
class CompiledProgram:
    """All that is needed to run a part of a network.

    Attributes:
        code: an object file with the functions of `emit` and of `emit_operator`.
        constants: what the kernels read, to lie at a multiple of 64 bytes.
        blank: an image's buffers before the first use.
        signature: shapes and sizes.
    """

    code: bytes
    constants: bytes
    blank: bytes
    signature: Signature


def compile_program(part: Part, target: Target) -> CompiledProgram:
    """Compile a part of a network.

    Raises:
        NoKernel: if a layer needs the portable form.
    """
    planned = plan(part, target)
    signature = Signature(
        inputs=planned.inputs,
        outputs=planned.outputs,
        image_bytes=planned.image_bytes,
        images=max(1, min(_MOST_IMAGES, _ARENA_BYTES // planned.image_bytes)),
        slack=SLACK,
    )
    module = emit(planned, target)
    emit_operator(module, module.globals["run"], signature)
    code = compile_object(module, target)
    return CompiledProgram(code, planned.constants, blank_image(planned).tobytes(), signature)
