# SPDX-License-Identifier: Apache-2.0
# What all phases use. Each phase is a process of its own, in the project's folder.

source settings.tcl

if {[info exists env(QDEPLOY_JOBS)]} {
    set_param general.maxThreads $env(QDEPLOY_JOBS)
}
set project_folder vivado
set project_name accelerator
set block_design system

# End with a message that is an error of Vivado to everything that reads its log.
proc fail {kind text} {
    puts "ERROR: \[qdeploy $kind\] $text"
    exit 1
}

if {![string match "$settings::version*" [version -short]]} {
    fail version "the project is for Vivado $settings::version, this is [version -short]"
}

# Newest version of an IP core that this Vivado has.
proc newest_core {vendor_library_name} {
    set cores [get_ipdefs -quiet "$vendor_library_name:*"]
    if {[llength $cores] == 0} {
        fail ip "this Vivado has no IP core $vendor_library_name"
    }
    return [lindex [lsort -dictionary $cores] end]
}

proc reopen_project {} {
    global project_folder project_name
    set file $project_folder/$project_name.xpr
    if {![file exists $file]} {
        fail order "$file is missing: run design.tcl first"
    }
    open_project $file
}

# Run synthesis or implementation anew. Errors of the run are repeated here: it has its own log.
proc complete_run {run} {
    reset_runs $run
    launch_runs $run
    if {[catch {wait_on_run $run} message]} {
        puts $message
    }
    set status [get_property STATUS [get_runs $run]]
    if {[get_property PROGRESS [get_runs $run]] eq "100%" && [string match "*Complete*" $status]} {
        return
    }
    foreach line [lines_of_run $run] {
        if {[string match "ERROR*" $line]} {
            puts $line
        }
    }
    fail run "$run ended with status '$status'"
}

proc lines_of_run {run} {
    set file [file join [get_property DIRECTORY [get_runs $run]] runme.log]
    if {![file exists $file]} {
        return {}
    }
    set channel [open $file]
    set text [read $channel]
    close $channel
    return [split $text "\n"]
}

proc phase_done {name} {
    puts "QDEPLOY-PHASE-DONE $name"
}
