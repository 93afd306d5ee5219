# SPDX-License-Identifier: Apache-2.0
"""What an operator takes on a part of the 7 series, without synthesis: a closed form per operator.

`cost` is what the solver adds up. Compressor trees and block RAMs are counted; the rest is a sum of
terms (bits, counters, comparators) whose coefficients `benchmarks/fit_resources.py` fits to results
of Yosys and keeps in coefficients.json.
"""

from qdeploy.fpga.resources.cost import Cost
from qdeploy.fpga.resources.memories import constants
from qdeploy.fpga.resources.model import cost, operators

__all__ = ["Cost", "constants", "cost", "operators"]
