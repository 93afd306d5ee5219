# SPDX-License-Identifier: Apache-2.0
"""Damaged packed models: a message, or a program that stays within its buffers.

What a program touches follows from its plan alone, so mutants with the plan of one that ran before
reuse its machine code; guard pages lie around all of their buffers as well.
"""

import json
import os
import zlib
from collections import Counter

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from lstm_layers import integer_language_model
from program_networks import partial_network
from program_runs import Program, run_compiled
from random_networks import inputs
from sample_networks import small_cnn

from qdeploy.cpu import to_onnx
from qdeploy.cpu.description import read_parts
from qdeploy.cpu.kernels.compilation import LoadedObject, compile_object
from qdeploy.cpu.kernels.targets import host_targets
from qdeploy.cpu.lstm.sequences import compile_sequences
from qdeploy.cpu.program.planning import NoKernel, Plan, plan
from qdeploy.cpu.program.program import emit
from qdeploy.errors import UserError
from qdeploy.integer import IntegerNetwork

MUTANTS = int(os.environ.get("QDEPLOY_MUTANTS", "5000"))
MOST_PROGRAMS = 40  # compiled ones; each takes about half a second
IMAGES = 2


def mutant(model: onnx.ModelProto, content: bytes, rng: np.random.Generator) -> onnx.ModelProto:
    """The model with some changes in its bytes, its description or its initializers."""
    kind = rng.integers(4)
    if kind == 0:
        return onnx.ModelProto.FromString(changed(content, rng))
    copy = onnx.ModelProto.FromString(content)
    attribute = copy.graph.node[rng.integers(len(copy.graph.node))].attribute[0]
    if kind == 1:
        text = changed(zlib.decompress(attribute.s), rng)
        attribute.s = zlib.compress(text)
    elif kind == 2:
        document = json.loads(zlib.decompress(attribute.s))
        for _ in range(rng.integers(1, 3)):
            change_number(document, rng)
        attribute.s = zlib.compress(json.dumps(document).encode())
    else:
        tensor = copy.graph.initializer[rng.integers(len(copy.graph.initializer))]
        tensor.raw_data = changed(tensor.raw_data, rng)
        if rng.integers(3) == 0:
            tensor.raw_data = tensor.raw_data[: rng.integers(len(tensor.raw_data))]
        if rng.integers(3) == 0 and tensor.dims:
            tensor.dims[0] = int(rng.integers(-2, 1000))
    return copy


def changed(content: bytes, rng: np.random.Generator) -> bytes:
    text = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        text[rng.integers(len(text))] = rng.integers(256)
    return bytes(text)


def change_number(document: object, rng: np.random.Generator) -> None:
    """Another integer somewhere in the document."""
    places = []

    def collect(value: object) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in items:
            if type(part) is int:
                places.append((value, key))
            elif isinstance(part, (dict, list)):
                collect(part)

    collect(document)
    where, key = places[rng.integers(len(places))]
    choices = [0, 1, -1, 2, 3, 7, 64, 255, 256, 1 << 15, 1 << 31, 1 << 62, -(1 << 40)]
    where[key] = int(rng.choice([where[key] + 1, where[key] - 1, *choices]))


def outline(planned: Plan) -> str:
    """All of a plan that its machine code depends on."""
    return repr((planned.entries, planned.steps, planned.exits, planned.image_bytes))


NETWORKS = [
    partial_network(),
    *(
        small_cnn(channels=(3, 20, 16), granularity=granularity, activation_bits=2)
        for granularity in ("layer", "pixel")
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS, ids=["partial", "layer", "pixel"])
def test_mutants_stay_within_their_buffers(network: IntegerNetwork) -> None:
    model, target = to_onnx(network), host_targets()[0]
    content, rng = model.SerializeToString(), np.random.default_rng(0)
    programs: dict[str, LoadedObject] = {}
    outcomes: Counter[str] = Counter()
    for _ in range(MUTANTS // len(NETWORKS)):
        try:
            parts = read_parts(mutant(model, content, rng))
            part = parts[rng.integers(len(parts))]
            planned = plan(part, target)
        except (UserError, DecodeError, NoKernel) as error:
            outcomes[type(error).__name__] += 1
            continue
        if planned.image_bytes > 1 << 24:
            outcomes["large"] += 1
            continue
        key = outline(planned)
        if key not in programs:
            if len(programs) == MOST_PROGRAMS:
                outcomes["not compiled"] += 1
                continue
            programs[key] = LoadedObject(compile_object(emit(planned, target), target), target)
        program = Program(planned, programs[key])
        if part.begins:
            x = [inputs(part.network, IMAGES)]
        else:  # any integers: a file may connect its parts as it likes
            x = [
                rng.integers(-(1 << 31), 1 << 31, (IMAGES, *argument.shape)).astype(np.int32)
                for argument in planned.inputs
            ]
        program.run(x, 1, late=bool(rng.integers(2)))
        outcomes["ran"] += 1
    assert outcomes["ran"] > MUTANTS // 30
    assert outcomes["UserError"] > MUTANTS // 30


@pytest.mark.slow
def test_mutants_of_an_lstm_stay_within_their_buffers() -> None:
    model, target = to_onnx(integer_language_model()), host_targets()[0]
    content, rng = model.SerializeToString(), np.random.default_rng(0)
    outcomes: Counter[str] = Counter()
    for _ in range(MUTANTS // 5):
        try:
            part = next(part for part in read_parts(mutant(model, content, rng)) if part.lstm)
            program = compile_sequences(part, target) if outcomes["ran"] < 30 else None
        except (UserError, DecodeError, NoKernel, StopIteration) as error:
            outcomes[type(error).__name__] += 1
            continue
        if program is not None:
            (argument,) = program.signature.inputs
            x = rng.integers(-(1 << 31), 1 << 31, (IMAGES, *argument.shape)).astype(np.int32)
            run_compiled(program, target, [x], 1, late=bool(rng.integers(2)))
        outcomes["ran"] += 1
    assert outcomes["ran"] > MUTANTS // 100
    assert outcomes["UserError"] > MUTANTS // 100
