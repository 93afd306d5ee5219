# SPDX-License-Identifier: Apache-2.0
"""A layer of long short-term memory on integers: its meaning, one step and whole sequences.

    sums = W_ih x + W_hh h + bias                  gates i, f, g, o behind each other, as in PyTorch
    i, f, g, o = levels of the gates               by thresholds: sigmoid, tanh, quantizer and scale
    c' = clip(forget(f · c) + update(i · g))       rounded quotients
    h' = output(o · levels of the cell state c')

These are the quantizers of `brevitas.nn.QuantLSTM` (0.13): sigmoid and tanh, cell state behind each
product and behind their sum, hidden state; a quantizer of the sums is in the thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdeploy.errors import InternalError, UserError
from qdeploy.integer.quotients import INT64_NUMERATORS, ROUNDED_QUOTIENT, Quotient
from qdeploy.integer.tensors import ValueRange
from qdeploy.integer.weights import Integers, Weights

State = tuple[Integers, Integers]
_LARGEST_SUM = float(1 << 62)


@dataclass(frozen=True, eq=False)
class StepFunction:
    """code = low + #{t : x >= thresholds[t]}.

    Attributes:
        thresholds: int64 [T], ascending, as in `Threshold`.
        low: the code below all thresholds.
    """

    thresholds: Integers
    low: int

    def __post_init__(self) -> None:
        if self.thresholds.ndim != 1 or (np.diff(self.thresholds) < 0).any():
            raise InternalError("the thresholds of a step function descend")

    @property
    def range(self) -> ValueRange:
        """All codes."""
        return ValueRange(self.low, self.low + len(self.thresholds))

    def of(self, x: Integers) -> Integers:
        """The codes of integers of any shape."""
        return self.low + np.searchsorted(self.thresholds, x, side="right").astype(np.int64)


@dataclass(frozen=True, eq=False, kw_only=True)
class LstmLayer:
    """One layer in one direction, without peepholes and projection.

    Attributes:
        name: the layer as in the PyTorch model.
        input: codes of x.
        input_weights: W_ih, [4H, I]: rows of the gates i, f, g, o.
        hidden_weights: W_hh, [4H, H].
        bias: int64 [4H], in units of the sums.
        gates: from the sums of the gates i, f, g, o to their codes.
        forget, update: from the products f · c and i · g to codes of the cell state.
        cell: from codes of the cell state to codes of their tanh.
        output: from the products o · tanh to codes of h; its limits are the codes of h.

    The quotients have one channel. The limits of `forget` and `update` are the codes of the cell
    state, and their sum is clipped to them too.

    Raises:
        InternalError: if shapes or limits do not fit together.
        UserError: if products are too wide for int64.
    """

    name: str
    input: ValueRange
    input_weights: Weights
    hidden_weights: Weights
    bias: Integers
    gates: tuple[StepFunction, StepFunction, StepFunction, StepFunction]
    forget: Quotient
    update: Quotient
    cell: StepFunction
    output: Quotient

    def __post_init__(self) -> None:
        rows, size = self.hidden_weights.shape
        if rows != 4 * size or self.input_weights.shape[0] != rows or self.bias.shape != (rows,):
            raise InternalError(
                f"{self.name}: weights {self.input_weights.shape} and {self.hidden_weights.shape} "
                f"with biases {self.bias.shape}"
            )
        bound = np.abs(self.bias.astype(float)).max()
        for weights, x in ((self.input_weights, self.input), (self.hidden_weights, self.hidden)):
            largest = np.abs(weights.integers().astype(float)).sum(axis=1).max()
            bound += largest * max(abs(x.low), abs(x.high))
        if bound >= _LARGEST_SUM:
            raise UserError(
                f"the sums of its gates reach {bound:.2g}",
                layer=self.name,
                remedy="use fewer bits for weights, scales, biases or activations",
            )
        for quotient, _ in self.products():
            if any(values.shape != (1,) for values in quotient.parameters) or (
                quotient.divisor[0] <= 0 or quotient.rounding not in ROUNDED_QUOTIENT
            ):
                raise InternalError(f"{self.name}: a quotient of several channels, or by 0")
        if _limits(self.forget) != _limits(self.update):
            raise InternalError(f"{self.name}: products of the cell state with unequal limits")
        for quotient, factors in self.products():
            if quotient.numerator_bound(_magnitude(*factors)) >= INT64_NUMERATORS:
                raise UserError(
                    f"products of codes {factors[0]} and {factors[1]} by "
                    f"{quotient.multiplier[0]}/{quotient.divisor[0]} are too wide",
                    layer=self.name,
                    remedy="use fewer bits for the cell state or its scale",
                )

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.hidden_weights.shape[1]

    @property
    def input_size(self) -> int:
        """I."""
        return self.input_weights.shape[1]

    @property
    def hidden(self) -> ValueRange:
        """Codes of h."""
        return _limits(self.output)

    @property
    def state(self) -> ValueRange:
        """Codes of the cell state c."""
        return _limits(self.forget)

    @property
    def sums(self) -> ValueRange:
        """Exact range of the sums of all gates."""
        low, high = self.bias, self.bias
        for weights, x in ((self.input_weights, self.input), (self.hidden_weights, self.hidden)):
            matrix = weights.integers()
            positive = np.maximum(matrix, 0).sum(axis=1)
            negative = np.minimum(matrix, 0).sum(axis=1)
            low = low + positive * x.low + negative * x.high
            high = high + positive * x.high + negative * x.low
        return ValueRange(int(low.min()), int(high.max()))

    def products(self) -> tuple[tuple[Quotient, tuple[ValueRange, ValueRange]], ...]:
        """The quotients forget, update and output, each with the ranges of its two factors."""
        i, f, g, o = (gate.range for gate in self.gates)
        return (
            (self.forget, (f, self.state)),
            (self.update, (i, g)),
            (self.output, (o, self.cell.range)),
        )

    def zero_state(self, count: int) -> State:
        """State h and c of `count` sequences before their first step: codes 0, [N, H] each."""
        zeros = np.zeros((count, self.hidden_size), np.int64)
        return zeros, zeros

    def step(self, x: Integers, h: Integers, c: Integers) -> State:
        """The next h and c: codes x [N, I], h and c [N, H] to codes [N, H] each, int64."""
        sums = x @ self.input_weights.integers().T + h @ self.hidden_weights.integers().T
        parts = np.split(sums + self.bias, 4, axis=1)
        i, f, g, o = (gate.of(part) for gate, part in zip(self.gates, parts, strict=True))
        c = self.forget.of(f * c, axis=1) + self.update.of(i * g, axis=1)
        c = np.clip(c, self.state.low, self.state.high)
        return self.output.of(o * self.cell.of(c), axis=1), c

    def run(self, x: Integers, state: State | None = None) -> tuple[Integers, State]:
        """Codes x [T, N, I] to h of every step [T, N, H], and the last state."""
        h, c = self.zero_state(x.shape[1]) if state is None else state
        outputs = np.empty((*x.shape[:2], self.hidden_size), np.int64)
        for index, present in enumerate(x):
            h, c = self.step(present, h, c)
            outputs[index] = h
        return outputs, (h, c)


def _limits(quotient: Quotient) -> ValueRange:
    return ValueRange(int(quotient.low[0]), int(quotient.high[0]))


def _magnitude(a: ValueRange, b: ValueRange) -> int:
    return max(abs(a.low), abs(a.high)) * max(abs(b.low), abs(b.high))
