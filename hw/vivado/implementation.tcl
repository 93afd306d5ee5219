# SPDX-License-Identifier: Apache-2.0
# Placing and routing, reports, and the check that the clock is not too fast.

source common.tcl

# The hardware node that a pin lies in, for people.
proc node_of {pin} {
    foreach {instance description} $settings::nodes {
        if {[string match "*/$instance/*" $pin]} {
            return $description
        }
    }
    return "outside the accelerator"
}

reopen_project
complete_run impl_1
open_run impl_1
file mkdir reports
report_utilization -hierarchical -file reports/utilization_routed.rpt
report_timing_summary -max_paths 10 -file reports/timing.rpt
report_power -file reports/power.rpt
report_drc -file reports/drc.rpt

foreach {kind option} {setup -setup hold -hold} {
    set path [lindex [get_timing_paths -max_paths 1 -nworst 1 $option] 0]
    set slack [get_property SLACK $path]
    if {$slack < 0} {
        set from [get_property STARTPOINT_PIN $path]
        set to [get_property ENDPOINT_PIN $path]
        fail timing "timing is not met: $kind slack is $slack ns,\
            from $from ([node_of $from]) to $to ([node_of $to])"
    }
}
close_project
phase_done implementation
