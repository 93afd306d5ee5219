# SPDX-License-Identifier: Apache-2.0
"""Compressor trees: sums of many bits in LUTs and carry chains of 7-series slices."""
