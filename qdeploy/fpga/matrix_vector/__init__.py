# SPDX-License-Identifier: Apache-2.0
"""The matrix-vector unit in LUTs: what it computes inside, and its Verilog."""

from qdeploy.fpga.matrix_vector.arithmetic import Arithmetic, Matrix, Outputs, arithmetic

__all__ = ["Arithmetic", "Matrix", "Outputs", "arithmetic"]
