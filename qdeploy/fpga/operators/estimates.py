# SPDX-License-Identifier: Apache-2.0
"""What our operators answer to FINN's analyses of resources."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp

from qdeploy.errors import UserError
from qdeploy.fpga.resources import Cost

# Attribute of a node with its `Cost` by the resource model: `note_costs` writes it, because FINN
# asks a node without its constants.
PREDICTED = "predicted"


class FinnEstimate(NamedTuple):
    """LUTs, 18 kbit block RAMs and DSP slices."""

    lut: int
    bram18: int
    dsp: int


class Estimates:
    """Mixin of operators: the resource model's figures, and FINN's for its own implementation.

    Attributes:
        finn_implementation: FINN's own implementation of the node, None if there is none.
    """

    finn_implementation: ClassVar[type[HWCustomOp] | None] = None
    onnx_node: Any
    get_nodeattr: Any

    def predicted(self) -> Cost:
        """What `note_costs` noted.

        Raises:
            UserError: if it has not noted anything.
        """
        noted = self.get_nodeattr(PREDICTED)
        if not noted:
            raise UserError(
                f"the cost of node {self.onnx_node.name} is not known before it is folded",
                layer=self.get_nodeattr("layer"),
                remedy="fold the graph first (qdeploy.fpga.folding.fold)",
            )
        return Cost(*noted)

    def lut_estimation(self, fpgapart: str) -> int:
        """LUT sites by the resource model."""
        return round(self.predicted().lut)

    def bram_estimation(self, fpgapart: str) -> int:
        """18 kbit block RAMs by the resource model."""
        return round(2 * self.predicted().bram36)

    def bram_efficiency_estimation(self, fpgapart: str) -> float:
        """Not known: FINN's default."""
        return 1

    def dsp_estimation(self, fpgapart: str) -> int:
        """DSP slices by the resource model."""
        return round(self.predicted().dsp)

    def uram_estimation(self, fpgapart: str) -> int:
        """No operator has UltraRAM."""
        return 0

    def uram_efficiency_estimation(self, fpgapart: str) -> float:
        """FINN's value where there is none."""
        return 1

    def finn_estimate(self, fpgapart: str) -> FinnEstimate:
        """What FINN's formulas expect of FINN's own implementation of the node."""
        if self.finn_implementation is None:
            return FinnEstimate(0, 0, 0)
        other = self.finn_implementation(self.onnx_node)
        return FinnEstimate(
            int(other.lut_estimation(fpgapart)),
            int(other.bram_estimation(fpgapart)),
            int(other.dsp_estimation(fpgapart)),
        )
