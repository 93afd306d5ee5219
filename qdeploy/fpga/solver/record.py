# SPDX-License-Identifier: Apache-2.0
"""How a folding was chosen, for reports."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from qdeploy.fpga.resources import Cost

FILE_NAME = "folding.json"
_NAMES = ("LUTs", "flip-flops", "block RAMs", "DSP slices")


class FoldingRecord(BaseModel):
    """The solver's choice and what FINN's would have been.

    Attributes:
        aim: what was minimized before the price.
        cycles: initiation interval.
        slowest: the node that takes so many.
        latency: predicted cycles of a frame through the empty pipeline.
        bound: fewer of `aim` are proven impossible within the budget; equal to what was reached if
            that is optimal.
        price: of the choice, FIFOs at their least depth, in LUTs (docs/fpga.md).
        least_price: no choice as good is proven to cost less; equal to `price` if that is optimal.
        seconds: of search.
        predicted: what the folded graph takes by the resource model.
        resources: of the board.
        fill: share of them that it may take.
        finn_cycles: initiation interval of FINN's SetFolding for the same target.
        finn_predicted: what that takes, of our operators.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    aim: Literal["cycles", "latency"]
    cycles: int
    slowest: str
    latency: int
    bound: int
    price: float
    least_price: float
    seconds: float
    predicted: Cost
    resources: Cost
    fill: float
    finn_cycles: int
    finn_predicted: Cost

    def describe(self) -> str:
        """In a few sentences."""
        ours, finn = self.predicted, self.finn_predicted
        return (
            f"The folding takes {_amounts(ours)} by the resource model at {self.cycles:,} cycles "
            f"per frame, which {self.slowest} needs ({self.proof()}, "
            f"found in {self.seconds:.1f} s). {self.fullest()} "
            "FINN's own SetFolding, for the same target, with our operators and by the same "
            f"model: {self.finn_cycles:,} cycles per frame, {_amounts(finn)}."
        )

    def proof(self) -> str:
        """How good the choice is proven to be."""
        reached = self.latency if self.aim == "latency" else self.cycles
        if reached > self.bound:
            what = "of latency" if self.aim == "latency" else "per frame"
            return f"not proven optimal: fewer than {self.bound:,} cycles {what} are impossible"
        spare = 1 - self.least_price / self.price
        if spare > 0.001:
            return f"no faster one fits; one that costs up to {spare:.1%} less is not excluded"
        return "proven optimal"

    def fullest(self) -> str:
        """The resource of which it takes the largest share."""
        shares = [taken / of for taken, of in zip(self.predicted, self.resources, strict=True)]
        share, name = max(zip(shares, _NAMES, strict=True))
        allowed = f"{100 * self.fill:.4g}%"
        if share > self.fill:
            return (
                f"That is {share:.1%} of the board's {name}, more than the {allowed} allowed: the "
                "FIFOs need more than was left for them. Ask for a smaller share or a lower rate."
            )
        return f"Of the board it takes at most {share:.1%}, of the {name}; {allowed} are allowed."


def _amounts(cost: Cost) -> str:
    return f"{cost.lut:,.0f} LUT, {cost.bram36:g} BRAM36, {cost.dsp:.0f} DSP"
