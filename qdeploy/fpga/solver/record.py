# SPDX-License-Identifier: Apache-2.0
"""How a folding was chosen, for reports."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from qdeploy.fpga.resources import Cost

FILE_NAME = "folding.json"


class FoldingRecord(BaseModel):
    """The solver's choice and what FINN's would have been.

    Attributes:
        aim: what was minimized before the LUTs.
        cycles: initiation interval.
        latency: predicted cycles of a frame through the empty pipeline.
        bound: fewer of `aim` are proven impossible within the budget; equal to what was reached if
            that is optimal.
        least_lut: no choice as good is proven to take fewer LUTs than this.
        solver_lut: what the choice takes, FIFOs at their least depth; equal to `least_lut` if it is
            optimal.
        seconds: of search.
        predicted: what the folded graph takes by the resource model.
        finn_cycles: initiation interval of FINN's SetFolding for the same target.
        finn_predicted: what that takes, of our operators.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    aim: Literal["cycles", "latency"]
    cycles: int
    latency: int
    bound: int
    least_lut: float
    solver_lut: float
    seconds: float
    predicted: Cost
    finn_cycles: int
    finn_predicted: Cost

    def describe(self) -> str:
        """In one or two sentences."""
        ours, finn = self.predicted, self.finn_predicted
        return (
            f"The folding takes {ours.lut:,.0f} LUT, {ours.bram36:g} BRAM36, {ours.dsp:.0f} DSP by "
            f"the resource model at {self.cycles:,} cycles per frame ({self.proof()}, found in "
            f"{self.seconds:.1f} s). FINN's SetFolding of the same operators for the same target: "
            f"{self.finn_cycles:,} cycles, {finn.lut:,.0f} LUT, {finn.bram36:g} BRAM36, "
            f"{finn.dsp:.0f} DSP."
        )

    def proof(self) -> str:
        """How good the choice is proven to be."""
        reached = self.latency if self.aim == "latency" else self.cycles
        if reached > self.bound:
            what = "of latency" if self.aim == "latency" else "per frame"
            return f"not proven optimal: fewer than {self.bound:,} cycles {what} are impossible"
        spare = 1 - self.least_lut / self.solver_lut
        if spare > 0.001:
            return f"no faster one fits; one with up to {spare:.1%} fewer LUTs is not excluded"
        return "proven optimal"
