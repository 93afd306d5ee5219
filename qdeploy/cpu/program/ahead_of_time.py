# SPDX-License-Identifier: Apache-2.0
"""Programs for other machines: one file that `qdeploy.board.Program` maps into memory and calls.

The file begins with the SHA-256 of all that follows, in hexadecimal digits, and a header in JSON;
then come the code, the constants and the arena before the first use, each from a page on.
"""

from __future__ import annotations

import hashlib
import json

from llvmlite import ir

from qdeploy.board.program import DIGEST, FORMAT, PAGE
from qdeploy.cpu.kernels.code import LONG, POINTER, Code
from qdeploy.cpu.kernels.compilation import compile_object
from qdeploy.cpu.kernels.linking import link
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.parts import whole
from qdeploy.cpu.program.planning import plan
from qdeploy.cpu.program.program import arena, emit
from qdeploy.integer import IntegerNetwork

_NULL = ir.Constant(POINTER, None)


def board_program(network: IntegerNetwork, target: Target) -> bytes:
    """The file for the processor `target`, which need not be that of this machine.

    Raises:
        NoKernel: if a layer needs the portable form.
    """
    planned = plan(whole(network), target)
    module = emit(planned, target)
    run = module.globals["run"]
    run.linkage = "internal"
    arguments = [POINTER, POINTER, LONG, POINTER, POINTER, POINTER]
    entry = Code(module, "run_alone", arguments, public=True)
    tensors = entry.memory(24, align=8)
    for place, tensor in enumerate(entry.arguments[3:]):
        entry.store(tensor, tensors, 8 * place, align=8)
    entry.call(run, [*entry.arguments[:3], tensors, _NULL, _NULL, entry.long(1)])
    entry.end()
    code, start = link(compile_object(module, target), "run_alone")
    memory = arena(planned, 1).tobytes()
    parts = {"code": code, "constants": planned.constants, "arena": memory}
    content = bytearray(PAGE)
    header = {
        "format": FORMAT,
        "machine": target.architecture,
        "entry": PAGE + start,
        "input_shape": network.input_tensor.shape,
        "output_shape": network.output_tensor.shape,
        "output_function": network.output_function,
    }
    for name, part in parts.items():
        content += bytes(-len(content) % PAGE)
        header[name] = (len(content), len(part))
        content += part
    text = json.dumps(header).encode()
    assert DIGEST + len(text) <= PAGE
    content[DIGEST : DIGEST + len(text)] = text
    content[:DIGEST] = hashlib.sha256(content[DIGEST:]).hexdigest().encode()
    return bytes(content)
