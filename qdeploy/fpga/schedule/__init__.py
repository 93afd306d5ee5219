# SPDX-License-Identifier: Apache-2.0
"""When every node of a folded graph is busy, and how many words its FIFOs must hold for that."""
