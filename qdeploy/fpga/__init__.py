# SPDX-License-Identifier: Apache-2.0
"""From the integer network to Verilog: FINN graph, folding, stitched design, resource estimate.

`mapping`, `verification`, `folding` and `generation` need finn-plus; `board`, `estimation` and
`simulated` do without.
"""
