# SPDX-License-Identifier: Apache-2.0
"""Multi-bit codes per row, found by iterative retraining (arXiv 1805.11233)."""
