# SPDX-License-Identifier: Apache-2.0
"""What a QONNX file means, in exact rationals: the truth that lowering is measured by.

Written from the specifications of the operators and independent of `qdeploy.lowering`: nothing is
folded, absorbed or turned into a threshold, each node is computed on Fractions as it stands. A new
operator is a function under `@operator("OnnxName")`, or `@quantizer`, in the file of its family.
"""

from qdeploy.rational import (  # noqa: F401 (they register the operators)
    arithmetic,
    movement,
    parts,
    pooling,
    products,
    qcdq,
    quantizers,
    recurrent,
    reductions,
)
from qdeploy.rational.arrays import Array, Rationals
from qdeploy.rational.executor import Executor, execute_exactly, without_function

__all__ = ["Array", "Executor", "Rationals", "execute_exactly", "without_function"]
