# SPDX-License-Identifier: Apache-2.0
"""Cycle-accurate simulation of the generated design with Verilator."""
