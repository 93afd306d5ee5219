# SPDX-License-Identifier: Apache-2.0
"""From the integer network to Verilog: FINN graph, folding, stitched design, resource estimate.

Importing the package is cheap. `mapping`, `folding`, `generation` and `verification` need finn-plus;
`board`, `estimation` and `simulated` do without.
"""
