# SPDX-License-Identifier: Apache-2.0
"""From RTL to a bitstream with Vivado, in Docker or on this machine, phase by phase."""
