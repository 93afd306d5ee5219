# SPDX-License-Identifier: Apache-2.0
"""Adaptive loss-aware quantization: each group of weights keeps its own bases (1912.08883)."""
