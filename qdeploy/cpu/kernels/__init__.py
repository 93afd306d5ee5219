# SPDX-License-Identifier: Apache-2.0
"""Generated machine code: low-bit kernels in LLVM's language, and the processors they are for."""
