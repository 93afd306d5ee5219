# SPDX-License-Identifier: Apache-2.0
"""What `qdeploy explain` says, as data: printed as a table or as JSON."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Literal

from pydantic import BaseModel, ConfigDict

from qdeploy.errors import UserError

State = Literal["lowered", "failed", "not reached"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(_Part):
    """Why something cannot be done, and what to do about it."""

    reason: str
    remedy: str


class NodeExplanation(_Part):
    """One node of the input file.

    Attributes:
        name: its name in the file, may be empty.
        operator: ONNX or QONNX operator ("Conv").
        state: whether it became integers; "not reached" depends on a failed node.
        became: what it became, in one line; for a node not reached, because of which layer.
        constant: whether it is computed at compile time (weights, shapes).
        operators: names of the integer operators that it became; none where it was absorbed.
        bits_in: width of its first integer input; None for real and constant inputs.
        bits_out: width of its integer output; of one code for weights; None if there is none.
        range: exact smallest and largest integer of its output; None if there is none.
        problem: set for a failed node.
    """

    name: str
    operator: str
    state: State
    became: str
    constant: bool = False
    operators: tuple[str, ...] = ()
    bits_in: int | None = None
    bits_out: int | None = None
    range: tuple[int, int] | None = None
    problem: Problem | None = None


class Bar(_Part):
    """How many weight codes lie in `low`..`high`."""

    low: int
    high: int
    count: int


class WeightPlane(_Part):
    """One code tensor of a layer's weights.

    Attributes:
        kind: "binary", "ternary" or "int<bits>".
        shape: of the codes.
        histogram: of the codes, ascending.
        multipliers: how many integer scales stay inside the sum; 0 if none.
        multiplier_bits: width of the largest one; 0 if none.
        multiplier_range: smallest and largest.
    """

    kind: str
    shape: tuple[int, ...]
    histogram: tuple[Bar, ...]
    multipliers: int
    multiplier_bits: int
    multiplier_range: tuple[int, int]


class Thresholds(_Part):
    """Thresholds of a quantizer.

    Attributes:
        count: per channel.
        channels: rows of thresholds; 1 where all channels share them.
        range: smallest and largest threshold.
        codes: smallest and largest code.
        falling: channels that count down, because their scale was negative.
        constant: rows in which no threshold lies inside the accumulator's range.
    """

    count: int
    channels: int
    range: tuple[int, int]
    codes: tuple[int, int]
    falling: int
    constant: int


class IntegerOperator(_Part):
    """One operator of the integer network.

    Attributes:
        name: in the integer network.
        kind: Convolution, Threshold...
        shape: of its output, without the batch axis.
        bits: width of one output integer.
        range: exact smallest and largest output.
        scale: smallest and largest real value of one integer step, over the channels.
        offset: smallest and largest real value of the integer 0.
        weights: for layers with weights.
        thresholds: for quantizers.
        fpga: why our hardware operators cannot take it; None if no reason is known.
        cpu: what computes it on the CPU and why; None if that was not asked, or not known.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    bits: int
    range: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]
    weights: tuple[WeightPlane, ...] = ()
    thresholds: Thresholds | None = None
    fpga: Problem | None = None
    cpu: str | None = None


class LayerExplanation(_Part):
    """One layer of the PyTorch model: its nodes in the file and its integer operators."""

    name: str
    nodes: tuple[NodeExplanation, ...]
    operators: tuple[IntegerOperator, ...]


class Explanation(_Part):
    """A whole file.

    Attributes:
        model: name of the file without its ending.
        lowers: whether every node became integers.
        fpga: whether our hardware operators can take all of it; None if it does not lower.
        cpu: in which form the CPU back end runs it; None if that was not asked.
        input_shape: without the batch axis.
        weights: number of weight codes.
        layers: in the order of the file.
        problem: what is wrong with the network as a whole, if no single node is to blame.
        notes: where the integers are not exactly the file, by the user's leave.
    """

    model: str
    lowers: bool
    fpga: bool | None
    cpu: str | None
    input_shape: tuple[int, ...]
    weights: int
    layers: tuple[LayerExplanation, ...]
    problem: Problem | None = None
    notes: tuple[str, ...] = ()

    def only(self, name: str) -> Explanation:
        """The same with one layer, or with all layers inside the module `name`.

        Raises:
            UserError: if there is none.
        """
        chosen = tuple(
            layer
            for layer in self.layers
            if layer.name == name or layer.name.startswith(f"{name}.")
        )
        if not chosen:
            names = [layer.name for layer in self.layers]
            close = get_close_matches(name, names, n=3) or names[:10]
            raise UserError(
                f"{self.model} has no layer '{name}'",
                remedy=f"layers are called like {', '.join(map(repr, close))}",
            )
        return self.model_copy(update={"layers": chosen})
