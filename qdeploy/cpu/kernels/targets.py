# SPDX-License-Identifier: Apache-2.0
"""The processors that kernels are generated for, and the few instructions LLVM has to be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import llvmlite.binding as llvm
from llvmlite import ir

from qdeploy.cpu.kernels.code import BYTE, SHORT, WORD, Code, Value, vector

Products = Literal["dot", "pairs", "widening"]


@dataclass(frozen=True)
class Target:
    """A kind of processor.

    Attributes:
        name: for people.
        triple: LLVM's name of architecture and system.
        cpu: LLVM's name of a processor that every such one equals or surpasses.
        needs: LLVM's names of the features beyond `cpu` that are used, and that a host must have.
        vector_bytes: width of a vector register.
        registers: number of vector registers.
        table_bytes: bytes that one instruction looks up in, where a whole register looks up: 16 or
            64.
        products: how bytes are multiplied: four at a time into 32 bits ("dot"), two into 16 bits
            with saturation ("pairs"), or one ("widening").
    """

    name: str
    triple: str
    cpu: str
    needs: tuple[str, ...]
    vector_bytes: int
    registers: int
    products: Products
    table_bytes: int = 16

    @property
    def architecture(self) -> str:
        """x86_64, aarch64 or arm."""
        return _architecture(self.triple)

    @property
    def features(self) -> str:
        """LLVM's list of instruction sets beyond those of `cpu`."""
        return ",".join(f"+{name}" for name in self.needs)

    def machine(self) -> llvm.TargetMachine:
        """LLVM's code generator for this processor."""
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        target = llvm.Target.from_triple(self.triple)
        machine: llvm.TargetMachine = target.create_target_machine(
            cpu=self.cpu, features=self.features, opt=3, reloc="pic", codemodel="small"
        )
        return machine


_X86 = "x86_64-unknown-linux-gnu"
_AVX2_NEEDS = ("ssse3", "sse4.1", "sse4.2", "popcnt", "avx", "avx2", "bmi", "bmi2", "lzcnt", "fma")
_AVX512_NEEDS = (
    *_AVX2_NEEDS,
    *("f16c", "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"),
    "avx512vbmi",
)
AVX512 = Target("AVX-512", _X86, "x86-64", _AVX512_NEEDS, 64, 32, "dot", table_bytes=64)
AVX2 = Target("AVX2", _X86, "x86-64", _AVX2_NEEDS, 32, 16, "pairs")
SSSE3 = Target("SSSE3", _X86, "x86-64", ("ssse3",), 16, 16, "pairs")
NEON64 = Target(
    "NEON (aarch64)", "aarch64-unknown-linux-gnu", "generic", ("neon",), 16, 32, "widening"
)
NEON32 = Target(
    name="NEON (32-bit ARM)",
    triple="armv7-unknown-linux-gnueabihf",
    cpu="cortex-a9",
    needs=("neon",),
    vector_bytes=16,
    registers=16,
    products="widening",
)
TARGETS = (AVX512, AVX2, SSSE3, NEON64, NEON32)  # the best first


def host_targets() -> tuple[Target, ...]:
    """The targets that this machine runs, the best first; none on other systems than Linux."""
    triple, features = llvm.get_process_triple(), llvm.get_host_cpu_features()
    if "linux" not in triple:
        return ()
    architecture = _architecture(triple)
    return tuple(
        target
        for target in TARGETS
        if target.architecture == architecture and all(features.get(n) for n in target.needs)
    )


def _architecture(triple: str) -> str:
    first = triple.split("-", maxsplit=1)[0]
    return "arm" if first.startswith("arm") else first


def spread_table(code: Code, table: Value, lanes: int) -> Value:
    """A table as `look_up` wants it for `lanes` indices: repeated to their number."""
    nothing, size = ir.Constant(table.type, ir.Undefined), table.type.count
    order = ir.Constant(vector(WORD, lanes), [k % size for k in range(lanes)])
    return code.build.shuffle_vector(table, nothing, order)


def look_up(code: Code, target: Target, table: Value, indices: Value, entries: int) -> Value:
    """table[indices], bytes; indices are below `entries` and `table` comes from `spread_table`."""
    lanes = indices.type.count
    kind = vector(BYTE, lanes)
    if entries == 64:
        return _intrinsic(code, "llvm.x86.avx512.permvar.qi.512", kind, [table, indices])
    if target.architecture == "x86_64":
        suffix = {16: "ssse3.pshuf.b.128", 32: "avx2.pshuf.b", 64: "avx512.pshuf.b.512"}[lanes]
        return _intrinsic(code, f"llvm.x86.{suffix}", kind, [table, indices])
    if target.architecture == "aarch64":
        name = f"llvm.aarch64.neon.tbl1.v{lanes}i8"
        return _intrinsic(code, name, kind, [table, indices])
    # 32-bit ARM looks eight bytes up in two registers.
    halves = [_half(code, table, part) for part in range(2)]
    found = [
        _intrinsic(
            code, "llvm.arm.neon.vtbl2", vector(BYTE, 8), [*halves, _half(code, indices, part)]
        )
        for part in range(2)
    ]
    order = ir.Constant(vector(WORD, 16), list(range(16)))
    return code.build.shuffle_vector(found[0], found[1], order)


def add_products(code: Code, target: Target, total: Value, unsigned: Value, signed: Value) -> Value:
    """Total plus the products of bytes, by `target.products`.

    "dot": 32-bit lanes plus four products each; "pairs": 16-bit lanes plus two products each, of
    which the sum must fit 16 bits.
    """
    lanes = unsigned.type.count
    if target.products == "dot":
        kind = vector(WORD, lanes // 4)
        name = f"llvm.x86.avx512.vpdpbusd.{8 * lanes}"
        return _intrinsic(code, name, kind, [total, *_as_words(code, unsigned, signed)])
    kind = vector(SHORT, lanes // 2)
    suffix = {16: "ssse3.pmadd.ub.sw.128", 32: "avx2.pmadd.ub.sw"}[lanes]
    pairs = _intrinsic(code, f"llvm.x86.{suffix}", kind, [unsigned, signed])
    return code.build.add(total, pairs)


def add_short_products(code: Code, target: Target, total: Value, a: Value, b: Value) -> Value:
    """Total (32-bit lanes) plus the products of integers of 16 bits, given as bytes.

    Two for each lane, or one with "widening".
    """
    build, lanes = code.build, a.type.count // 2
    shorts = [build.bitcast(value, vector(SHORT, lanes)) for value in (a, b)]
    if target.products == "widening":
        wide = [build.sext(value, vector(WORD, lanes)) for value in shorts]
        return build.add(total, build.mul(*wide))
    kind = vector(WORD, lanes // 2)
    if target.products == "dot":
        name = f"llvm.x86.avx512.vpdpwssd.{16 * lanes}"
        return _intrinsic(code, name, kind, [total, *_as_words(code, a, b)])
    name = {8: "llvm.x86.sse2.pmadd.wd", 16: "llvm.x86.avx2.pmadd.wd"}[lanes]
    return build.add(total, _intrinsic(code, name, kind, shorts))


def _as_words(code: Code, *values: Value) -> list[Value]:
    kind = vector(WORD, values[0].type.count // 4)
    return [code.build.bitcast(value, kind) for value in values]


def _half(code: Code, value: Value, part: int) -> Value:
    order = ir.Constant(vector(WORD, 8), list(range(8 * part, 8 * part + 8)))
    return code.build.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), order)


def _intrinsic(code: Code, name: str, kind: ir.Type, arguments: list[Value]) -> Value:
    function = code.module.globals.get(name)
    if function is None:
        signature = ir.FunctionType(kind, [value.type for value in arguments])
        function = ir.Function(code.module, signature, name)
    return code.build.call(function, arguments)
