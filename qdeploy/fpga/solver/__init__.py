# SPDX-License-Identifier: Apache-2.0
"""Folding as an optimization problem over the resource model: the best choice, and how good it is.

`problem` says what there is to choose, `dominance` what of it is worth it, `search` finds the best
with the constraints of `model`, `options` makes the problem of a FINN graph.
"""
