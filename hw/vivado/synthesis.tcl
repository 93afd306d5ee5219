# SPDX-License-Identifier: Apache-2.0
# Synthesis of the whole design.

source common.tcl

reopen_project
set_property STEPS.SYNTH_DESIGN.TCL.PRE [file normalize memories.tcl] [get_runs synth_1]
complete_run synth_1
# Vivado goes on with memories full of zeros where it does not find their contents.
foreach line [lines_of_run synth_1] {
    if {[regexp {could not open \$readmem|\[Synth 8-4445\]} $line]} {
        puts $line
        fail memory "contents of a memory were not found"
    }
}
open_run synth_1
file mkdir reports
report_utilization -hierarchical -file reports/utilization_synthesized.rpt
close_project
phase_done synthesis
