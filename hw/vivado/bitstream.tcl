# SPDX-License-Identifier: Apache-2.0
# The bitstream and its description for PYNQ, which must bear the same name.

source common.tcl

reopen_project
open_run impl_1
write_bitstream -force board.bit
set handoff $project_folder/$project_name.gen/sources_1/bd/$block_design/hw_handoff
file copy -force $handoff/$block_design.hwh board.hwh
close_project
phase_done bitstream
