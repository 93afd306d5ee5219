# SPDX-License-Identifier: Apache-2.0
"""One model three ways: exact rationals, integer reference, CPU back end."""

import re
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from qdeploy.cpu import Session, pack
from qdeploy.errors import UserError
from qdeploy.integer import IntegerNetwork, Tensor, run
from qdeploy.lowering import lower
from qdeploy.rational import Rationals, execute_exactly

# What a valid graph may be refused for: integers wider than any back end has, and reals that are
# no multiples of one number. Anything else is a failure.
REFUSALS = re.compile(
    r"the accumulator needs \d+ bits"
    r"|fits no 64-bit arithmetic|bits has too many boundaries"
    r"|need integer multipliers of \d+ bits"
    r"|a scale per channel, which this \w+ cannot take in"
    r"|pads with .*, which is no code of the tensor's quantizer"
    r"|mixes channels that have scales of their own"
    r"|varies along axis \d+, the scales before it along axis \d+"
    r"|reads values with a scale of 0"
    r"|(Pool|Reduce|Pad).* (across|of) an axis with scales of its own"
    r"|Trunc .* leaves \d+ bits"
    r"|the class cannot be chosen among integers"
)


def compare(model: onnx.ModelProto, folder: Path, samples: int = 3) -> IntegerNetwork | None:
    """Assert that all three agree on inputs at and around the first quantizer's boundaries.

    Returns the integer network, or None where the model is refused for a good reason. `folder`
    receives scratch files.
    """
    path = folder / "model.onnx"
    onnx.save(model, path)
    try:
        network = lower(path)
    except UserError as error:
        if REFUSALS.search(error.problem):
            return None
        raise
    x = inputs(network, samples)
    integers = run(network, x)
    for sample, result in zip(x, integers, strict=True):
        expected = execute_exactly(model, sample)[0]
        assert expected.shape == result.shape, f"{result.shape}, not {expected.shape}"
        different = real_values(network.output_tensor, result) != expected
        assert not different.any(), f"the reference differs at {np.argwhere(different)[0]}"
    pack(network, folder / "cpu.onnx")
    session = Session(folder / "cpu.onnx", threads=1)
    assert np.array_equal(session.run_integers(x), integers), "the CPU back end differs"
    return network


def real_values(tensor: Tensor, integers: NDArray[np.int64]) -> Rationals:
    """What the integers [...] of one sample mean, exactly."""
    meaning = tensor.meaning
    result = np.empty(integers.shape, object)
    for index in np.ndindex(integers.shape):
        channel = index[meaning.axis]
        if meaning.block is not None:
            sizes = meaning.block.shape
            channel = meaning.block[tuple(i % n for i, n in zip(index, sizes, strict=True))]
        scale = meaning.scale[channel % len(meaning.scale)]
        offset = meaning.offset[channel % len(meaning.offset)]
        result[index] = scale * int(integers[index]) + offset
    return result


def inputs(network: IntegerNetwork, count: int) -> NDArray[np.float32]:
    """Boundaries of the input quantizer, their neighbours on both sides, and numbers in between."""
    rng = np.random.default_rng(count)
    boundaries = network.quantizer.boundaries
    candidates = np.concatenate(
        [
            boundaries,
            np.nextafter(boundaries, np.float32(np.inf)),
            np.nextafter(boundaries, np.float32(-np.inf)),
            rng.normal(scale=2, size=16).astype(np.float32),
        ]
    )
    return rng.choice(candidates[np.isfinite(candidates)], (count, *network.input_tensor.shape))
