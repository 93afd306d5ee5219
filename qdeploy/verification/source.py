# SPDX-License-Identifier: Apache-2.0
"""The integer network against the QONNX file it was lowered from.

Float32 execution shows where the two seem to differ; exact rational execution of those samples, and
of the first few in any case, decides who is right.
"""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import InternalError, ToolError, UserError
from qdeploy.integer import ArgMax, IntegerNetwork, Integers, Meaning, run
from qdeploy.lowering import datatypes
from qdeploy.lowering.source import parse, read
from qdeploy.rational import Executor, Rationals, without_function
from qdeploy.verification.contents import Difference, Rescaling, SourceComparison
from qdeploy.verification.executor import execute_float32
from qdeploy.verification.outputs import error_of, exact_values, in_doubles, indices_of
from qdeploy.verification.samples import Samples, exact_numbers, rounded_to

# The first samples are always compared; more of them only within these times.
FEWEST = 4
FLOAT32_SECONDS = 10.0
EXACT_SECONDS = 30.0
MOST_EXACT = 64
# Weight codes up to which a file is executed in exact rationals (about 5 µs each, once).
MOST_WEIGHTS = 12_000_000
LISTED = 5
# Outputs behind irrational square roots, which both sides round far below this, are equal if they
# differ by less than this part of an output step.
IRRATIONAL = Fraction(1, 1 << 100)


def compare_source(
    path: Path, network: IntegerNetwork, samples: Samples, input_type: str | None = None
) -> tuple[SourceComparison, Rescaling | None]:
    """Compare a QONNX file with the network that was lowered from it, with this input type.

    Raises:
        InternalError: if an output does not mean what exact rationals give, although no scale was
            rounded by the user's leave.
    """
    comparison = _Comparison(path, network, samples, input_type)
    comparison.in_float32()
    comparison.in_rationals()
    return comparison.result(), comparison.rescaling()


def measure_rescaling(
    path: Path, network: IntegerNetwork, samples: Samples, input_type: str | None = None
) -> Rescaling | None:
    """The error of the scales that were rounded on the way from a QONNX file to `network`.

    Returns:
        None if none were, or the file cannot be executed in exact rationals.
    """
    comparison = _Comparison(path, network, samples, input_type)
    comparison.in_rationals()
    return comparison.rescaling()


def _type_of(path: Path, network: IntegerNetwork) -> datatypes.IntegerType | None:
    source, limits = read(path), network.input_tensor.range
    return datatypes.IntegerType(limits.low, limits.high) if source.indices else source.input_type


class _Comparison:
    """Both executions of one file, and what they found so far."""

    def __init__(
        self, path: Path, network: IntegerNetwork, samples: Samples, input_type: str | None
    ) -> None:
        self.model = parse(path)
        self.network = network
        self.tensor = network.output_tensor
        # Numbers that the input holds by promise, where it is not quantized in the file.
        self.kind = datatypes.input_type(input_type) if input_type else _type_of(path, network)
        self.x = samples.x if self.kind is None else rounded_to(self.kind, samples.x)
        self.random = samples.random
        self.integers = run(network, self.x[:FEWEST])
        self.of_class = (
            bool(network.nodes)
            and isinstance(network.nodes[-1], ArgMax)
            and self.tensor.meaning == Meaning()
        )
        self.frames, self.skipped, self.exact_skipped = 0, "", ""
        self.largest_error = 0.0
        self.differences: dict[int, Difference] = {}
        self.exact: dict[int, Rationals] = {}

    def integer(self, index: int) -> Integers:
        """Output integers of one sample."""
        if index < len(self.integers):
            return np.asarray(self.integers[index])
        return np.asarray(run(self.network, self.x[index])[0])

    def in_float32(self) -> None:
        """Execute samples in float32 as time allows, and note those that differ."""
        logits = without_function(self.model)
        started = time.monotonic()
        try:
            for index, output in enumerate(execute_float32(logits, self.x)):
                self._compare(index, output)
                self.frames = index + 1
                if self.frames >= FEWEST and time.monotonic() - started > FLOAT32_SECONDS:
                    break
        except ToolError as error:
            self.frames, self.differences = 0, {}
            self.skipped = error.problem

    def _compare(self, index: int, output: NDArray[Any]) -> None:
        integers = self.integer(index)
        if self.of_class:
            got = indices_of(output, self.tensor.shape)
            different = got != integers
        else:
            meant, step = in_doubles(self.tensor, integers)
            got = output.reshape(self.tensor.shape).astype(np.float64)
            error = np.abs(got - meant)
            self.largest_error = max(self.largest_error, float(error.max()))
            different = ~(error <= step / 2)
        if different.any():
            first = tuple(int(i) for i in np.argwhere(different)[0])
            value = integers if self.of_class else meant
            self.differences[index] = Difference(
                sample=index,
                output=first,
                float32=float(got[first]),
                integers=float(value[first]),
            )

    def in_rationals(self) -> None:
        """Execute the first samples and those that differ exactly; all must be equal."""
        weights = self.network.codes()
        if weights > MOST_WEIGHTS:
            self.exact_skipped = f"{weights:,} weights are more than {MOST_WEIGHTS:,}"
            return
        first = range(min(len(self.x), MOST_EXACT if self.network.notes else FEWEST))
        chosen = list(dict.fromkeys([*range(min(len(self.x), FEWEST)), *self.differences, *first]))
        started = time.monotonic()
        try:
            executor = Executor(self.model)
            for count, index in enumerate(chosen[:MOST_EXACT]):
                if count >= FEWEST and time.monotonic() - started > EXACT_SECONDS:
                    break
                self.exact[index] = self._exact(executor, index)
                self._require_equal(index)
        except UserError as error:
            self.exact, self.exact_skipped = {}, error.problem

    def _exact(self, executor: Executor, index: int) -> Rationals:
        x = self.x[index]
        output = executor.run(x if self.kind is None else exact_numbers(self.kind, x))
        if self.of_class:
            return indices_of(output, self.tensor.shape)
        return output.reshape(self.tensor.shape)

    def _require_equal(self, index: int) -> None:
        exact, integers = self.exact[index], self.integer(index)
        meant = integers if self.of_class else exact_values(self.tensor, integers)
        if index in self.differences:
            known = self.differences[index]
            value = float(exact[known.output])
            self.differences[index] = known.model_copy(update={"exact": value})
        if self.network.notes:
            return
        step = min((abs(s) for s in self.tensor.meaning.scale if s), default=1)
        for place in zip(*np.nonzero(exact != meant), strict=True):
            output = tuple(int(i) for i in place)
            if self.of_class or abs(exact[output] - meant[output]) > step * IRRATIONAL:
                raise InternalError(
                    f"the integers do not mean what the source file says: sample {index}, output "
                    f"{output} is {float(exact[output]):.9g} in exact rationals, the integer "
                    f"{integers[output]} means {float(meant[output]):.9g}"
                )

    def result(self) -> SourceComparison:
        """What both executions found."""
        return SourceComparison(
            frames=self.frames,
            skipped=self.skipped,
            differing=len(self.differences),
            largest_error=None if self.of_class or not self.frames else self.largest_error,
            exact_frames=len(self.exact),
            exact_skipped=self.exact_skipped,
            proven=len(set(self.differences) & set(self.exact)),
            rescaled=bool(self.network.notes),
            differences=list(self.differences.values())[:LISTED],
        )

    def rescaling(self) -> Rescaling | None:
        """The error of rounded scales on the samples executed exactly."""
        if not self.network.notes or not self.exact:
            return None
        integers = (self.integer(index) for index in self.exact)
        meant = integers if self.of_class else (exact_values(self.tensor, row) for row in integers)
        return error_of(np.array(list(self.exact.values())), np.array(list(meant)), self.random)
