# SPDX-License-Identifier: Apache-2.0
"""Bit widths by gradient descent (after Cheng et al., arXiv 1810.10351)."""
