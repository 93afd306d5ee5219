# SPDX-License-Identifier: Apache-2.0
"""The functions that ONNX Runtime calls, in LLVM's language: no Python runs during inference."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from qdeploy.cpu.custom_op import abi
from qdeploy.cpu.kernels.code import BYTE, LONG, POINTER, WORD, Code, Value, Variable
from qdeploy.cpu.program.boundary import Argument
from qdeploy.cpu.program.constants import ALIGNMENT
from qdeploy.cpu.program.program import from_image

_NULL = ir.Constant(POINTER, None)


@dataclass(frozen=True)
class Signature:
    """What a program takes and gives, apart from the batch axis.

    Attributes:
        inputs, outputs: its arguments.
        image_bytes: of the arena, for each image.
        images: that the program is called with at once, at most.
        slack: bytes behind the arena that kernels may read.
    """

    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    image_bytes: int
    images: int
    slack: int

    @property
    def arena_bytes(self) -> int:
        """Bytes of an arena, a multiple of its alignment."""
        size = self.images * self.image_bytes + self.slack
        return -(-size // ALIGNMENT) * ALIGNMENT


def emit_operator(module: ir.Module, run: ir.Function, signature: Signature) -> None:
    """Functions named as in `abi.CALLBACKS` around `run`, and "register_operators"."""
    for name, field in (
        ("get_name", "name"),
        ("get_execution_provider", "execution_provider"),
        ("get_input_count", "input_count"),
        ("get_output_count", "output_count"),
    ):
        code = Code(module, name, [POINTER], public=True, result=POINTER)
        code.build.ret(_field(code, code.arguments[0], abi.CustomOp, field))
    for name, field in (("get_input_type", "input_types"), ("get_output_type", "output_types")):
        code = Code(module, name, [POINTER, LONG], public=True, result=WORD)
        types = _field(code, code.arguments[0], abi.CustomOp, field)
        code.build.ret(code.load(WORD, types, code.scaled(code.arguments[1], 4)))
    _give(module, "get_input_characteristic", [POINTER, LONG], abi.REQUIRED)
    _give(module, "get_output_characteristic", [POINTER, LONG], abi.REQUIRED)
    _give(module, "get_input_memory", [POINTER, LONG], 0)
    for side in ("input", "output"):
        _give(module, f"get_variadic_{side}_minimum", [POINTER], 1)
        _give(module, f"get_variadic_{side}_homogeneity", [POINTER], 0)
    _create(module)
    _Compute(module, run, signature).write()
    _register(module)


def _give(module: ir.Module, name: str, arguments: Sequence[ir.Type], number: int) -> None:
    code = Code(module, name, arguments, public=True, result=WORD)
    code.build.ret(ir.Constant(WORD, number))


def _field(code: Code, record: Value, kind: type[ctypes.Structure], name: str) -> Value:
    return code.load(POINTER, record, getattr(kind, name).offset, align=8)


def _call_api(code: Code, api: Value, place: int, arguments: Sequence[Value]) -> Value:
    """A status: null if all went well."""
    kind = ir.FunctionType(POINTER, [value.type for value in arguments])
    return code.build.call(_function_at(code, api, 8 * place, kind), list(arguments))


def _function_at(code: Code, table: Value, offset: int, kind: ir.FunctionType) -> Value:
    """The function whose address is at `offset` bytes of the table."""
    address = code.load(LONG, table, offset, align=8)
    return code.build.inttoptr(address, kind.as_pointer())


def _create(module: ir.Module) -> None:
    """Kernels share the state of their operator."""
    code = Code(module, "create_kernel", [POINTER] * 3, public=True, result=POINTER)
    code.build.ret(_field(code, code.arguments[0], abi.CustomOp, "state"))
    code = Code(module, "create_kernel_with_status", [POINTER] * 4, public=True, result=POINTER)
    operator, _, _, kernel = code.arguments
    code.store(_field(code, operator, abi.CustomOp, "state"), kernel, align=8)
    code.build.ret(_NULL)
    code = Code(module, "destroy_kernel", [POINTER], public=True)
    code.end()


def _register(module: ir.Module) -> None:
    """register_operators(options, api base, operators): adds a domain of all to the options.

    They are `abi.Operators`. ONNX Runtime takes one domain of a name.
    """
    code = Code(module, "register_operators", [POINTER] * 3, public=True, result=POINTER)
    build = code.build
    options, base, operators = code.arguments
    get_api = ir.FunctionType(POINTER, [WORD])
    api = build.call(_function_at(code, base, 0, get_api), [ir.Constant(WORD, abi.VERSION)])
    made = code.slot(POINTER)
    domain_name = _field(code, operators, abi.Operators, "domain")
    _return_if_failed(code, _call_api(code, api, abi.CREATE_CUSTOM_OP_DOMAIN, [domain_name, made]))
    domain = build.load(made, typ=POINTER)
    table = _field(code, operators, abi.Operators, "table")
    with code.loop(code.load(LONG, operators, abi.Operators.count.offset, align=8)) as index:
        operator = code.load(POINTER, table, code.scaled(index, 8), align=8)
        state = _field(code, operator, abi.CustomOp, "state")
        code.store(api, state, abi.State.api.offset, align=8)
        _return_if_failed(code, _call_api(code, api, abi.CUSTOM_OP_DOMAIN_ADD, [domain, operator]))
    _return_if_failed(code, _call_api(code, api, abi.ADD_CUSTOM_OP_DOMAIN, [options, domain]))
    build.ret(_NULL)


def _return_if_failed(code: Code, status: Value) -> None:
    with code.build.if_then(code.build.icmp_unsigned("!=", status, _NULL), likely=False):
        code.build.ret(status)


def _parallel(module: ir.Module) -> ir.Function:
    """parallel(api and context, function, argument, parts) by the threads of the session."""
    code = Code(module, "parallel", [POINTER, POINTER, POINTER, LONG])
    closure, function, argument, parts = code.arguments
    api, context = (code.load(POINTER, closure, offset, align=8) for offset in (0, 8))
    # It fails only without a context.
    _call_api(code, api, abi.PARALLEL_FOR, [context, function, parts, parts, argument])
    code.end()
    return code.function


class _Compute:
    """compute_with_status(kernel, context)."""

    def __init__(self, module: ir.Module, run: ir.Function, signature: Signature) -> None:
        arguments = [POINTER, POINTER]
        self.code = Code(module, "compute_with_status", arguments, public=True, result=POINTER)
        self.state, self.context = self.code.arguments
        self.api = _field(self.code, self.state, abi.State, "api")
        self.run, self.signature, self.module = run, signature, module

    def write(self) -> None:
        code, build, signature = self.code, self.code.build, self.signature
        arguments = (*signature.inputs, *signature.outputs)
        tensors = code.memory(8 * len(arguments), align=8)
        images = code.variable(LONG)
        for index, argument in enumerate(signature.inputs):
            data = self._input(index, argument, images)
            code.store(data, tensors, 8 * index, align=8)
        for index, argument in enumerate(signature.outputs):
            data = self._output(index, argument, images.get())
            code.store(data, tensors, 8 * (len(signature.inputs) + index), align=8)
        slot, arena = self._take_arena()
        parallel = _parallel(self.module)
        closure = code.memory(16, align=8)
        code.store(self.api, closure, align=8)
        code.store(self.context, closure, 8, align=8)
        with code.loop(images.get(), 0, signature.images) as first:
            rest = build.sub(images.get(), first)
            most = code.long(signature.images)
            values = [
                _field(code, self.state, abi.State, "constants"),
                arena,
                build.select(build.icmp_signed("<", rest, most), rest, most),
                from_image(code, tensors, first, arguments),
                parallel,
                closure,
                code.load(LONG, self.state, abi.State.threads.offset, align=8),
            ]
            code.call(self.run, values)
        self._give_arena_back(slot, arena)
        build.ret(_NULL)

    def _api(self, place: int, *arguments: Value) -> None:
        _return_if_failed(self.code, _call_api(self.code, self.api, place, arguments))

    def _input(self, index: int, argument: Argument, images: Variable) -> Value:
        """Data of an input, whose shape is checked; the first one tells how many images it has."""
        code, build, shape = self.code, self.code.build, argument.shape
        value, info, data, rank = (code.slot(POINTER) for _ in range(4))
        self._api(abi.GET_INPUT, self.context, code.long(index), value)
        tensor = build.load(value, typ=POINTER)
        self._api(abi.GET_TENSOR_TYPE_AND_SHAPE, tensor, info)
        shape_info = build.load(info, typ=POINTER)
        self._api(abi.GET_DIMENSIONS_COUNT, shape_info, rank)
        wanted = code.long(len(shape) + 1)
        found = code.load(LONG, rank, align=8)
        fits = code.variable(LONG, build.zext(build.icmp_signed("==", found, wanted), LONG))
        extents = code.memory(8 * (len(shape) + 1), align=8)
        with build.if_then(build.trunc(fits.get(), ir.IntType(1))):
            self._api(abi.GET_DIMENSIONS, shape_info, extents, wanted)
            if index == 0:
                images.set(code.load(LONG, extents, align=8))
            sizes = (images.get(), *map(code.long, shape))
            for axis, size in enumerate(sizes):
                extent = code.load(LONG, extents, 8 * axis, align=8)
                same = build.zext(build.icmp_signed("==", extent, size), LONG)
                fits.set(build.and_(fits.get(), same))
        release = ir.FunctionType(ir.VoidType(), [POINTER])
        place = 8 * abi.RELEASE_TENSOR_TYPE_AND_SHAPE
        build.call(_function_at(code, self.api, place, release), [shape_info])
        with build.if_then(build.icmp_signed("==", fits.get(), code.long(0)), likely=False):
            build.ret(self._error(f"qdeploy: the input must have shape [N, {str(shape)[1:-1]}]"))
        self._api(abi.GET_TENSOR_MUTABLE_DATA, tensor, data)
        return build.load(data, typ=POINTER)

    def _output(self, index: int, argument: Argument, images: Value) -> Value:
        """Data of an output, which is made for `images` images."""
        code, build, shape = self.code, self.code.build, argument.shape
        extents = code.memory(8 * (len(shape) + 1), align=8)
        code.store(images, extents, align=8)
        for axis, size in enumerate(shape):
            code.store(code.long(size), extents, 8 * (axis + 1), align=8)
        value, data = code.slot(POINTER), code.slot(POINTER)
        rank = code.long(len(shape) + 1)
        self._api(abi.GET_OUTPUT, self.context, code.long(index), extents, rank, value)
        self._api(abi.GET_TENSOR_MUTABLE_DATA, build.load(value, typ=POINTER), data)
        return build.load(data, typ=POINTER)

    def _error(self, text: str) -> Value:
        content = bytearray(text.encode() + b"\0")
        kind = ir.ArrayType(BYTE, len(content))
        message = ir.GlobalVariable(self.module, kind, f"message_{len(self.module.globals)}")
        message.initializer, message.linkage = ir.Constant(kind, content), "internal"
        message.global_constant = True
        message.type = POINTER  # llvmlite gives it a typed pointer
        pointer = message
        code = ir.Constant(WORD, abi.INVALID_ARGUMENT)
        return _call_api(self.code, self.api, abi.CREATE_STATUS, [code, pointer])

    def _take_arena(self) -> tuple[Value, Value]:
        """Address of the slot, null if the arena is for this call alone, and the arena."""
        code, build = self.code, self.code.build
        taken, arena = code.variable(POINTER, _NULL), code.variable(POINTER, _NULL)
        one, zero = code.long(1), code.long(0)
        with code.loop(abi.ARENAS) as index:
            slot = code.at(
                self.state,
                code.scaled(index, ctypes.sizeof(abi.Arena), abi.State.arenas.offset),
            )
            with build.if_then(build.icmp_unsigned("==", taken.get(), _NULL)):
                result = build.cmpxchg(slot, zero, one, "acquire", "monotonic")
                with build.if_then(build.extract_value(result, 1)):
                    taken.set(slot)
                    arena.set(_field(code, slot, abi.Arena, "memory"))
        with build.if_then(build.icmp_unsigned("==", arena.get(), _NULL), likely=False):
            arena.set(self._new_arena())
            with build.if_then(build.icmp_unsigned("!=", taken.get(), _NULL)):
                code.store(arena.get(), taken.get(), abi.Arena.memory.offset, align=8)
        return taken.get(), arena.get()

    def _new_arena(self) -> Value:
        """Memory with a copy of the blank image for each image; an error status without memory."""
        code, build, signature = self.code, self.code.build, self.signature
        kind = ir.FunctionType(POINTER, [LONG, LONG])
        allocate = ir.Function(self.module, kind, "aligned_alloc")
        sizes = [code.long(ALIGNMENT), code.long(signature.arena_bytes)]
        arena = build.call(allocate, sizes)
        with build.if_then(build.icmp_unsigned("==", arena, _NULL), likely=False):
            build.ret(self._error("qdeploy: out of memory"))
        blank = _field(code, self.state, abi.State, "blank")
        with code.loop(signature.images) as image:
            here = code.at(arena, code.scaled(image, signature.image_bytes))
            with code.loop(signature.image_bytes) as at:
                code.store(code.load(BYTE, blank, at), here, at)
        return arena

    def _give_arena_back(self, slot: Value, arena: Value) -> None:
        code, build = self.code, self.code.build
        alone = build.icmp_unsigned("==", slot, _NULL)
        with build.if_else(alone) as (then, otherwise):
            with then:
                free = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER]), "free")
                build.call(free, [arena])
            with otherwise:
                build.atomic_rmw("xchg", slot, code.long(0), "release")
