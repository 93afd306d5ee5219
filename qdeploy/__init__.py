# SPDX-License-Identifier: Apache-2.0
"""qdeploy: very-low-bit neural networks from training to an FPGA board, bit for bit."""

__version__ = "0.1.0"
