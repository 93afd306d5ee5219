# SPDX-License-Identifier: Apache-2.0
# Synthesis and implementation runs, opened designs, timing paths.

namespace eval stub {
    proc set_run {run status progress} {
        variable project
        set project(property,$run,STATUS) $status
        set project(property,$run,PROGRESS) $progress
        set project(property,$run,DIRECTORY) \
            [file normalize [file join $project(directory) $project(name).runs $run]]
    }

    # A step of a run, as its log shows it.
    proc run_lines {run lines} {
        variable project
        set folder $project(property,$run,DIRECTORY)
        file mkdir $folder
        set channel [open $folder/runme.log a]
        foreach line $lines {
            real_puts $channel $line
            say $line
        }
        close $channel
    }

    # $readmemh of the sources whose file is not in the folder of the run.
    proc lost_memories {} {
        variable project
        set folder $project(property,synth_1,DIRECTORY)
        set lost {}
        foreach file $project(sources) {
            set channel [open $file]
            foreach {whole name} [regexp -all -inline {\$readmemh\("([^"]*)"} [read $channel]] {
                if {![file exists $folder/$name]} {
                    lappend lost $name
                }
            }
            close $channel
        }
        return $lost
    }

    proc synthesize {} {
        variable project
        if {![string match *_wrapper $project(top)]} {
            fail "Common 17-70" "there is no wrapper to synthesize"
        }
        set project(sources) [lmap file [lindex $project(packaged,$project(cell,accelerator)) 3] {
            if {![file exists $file]} {
                fail "Synth 8-1" "file '$file' is gone"
            }
            set file
        }]
        run_lines synth_1 [list "Starting Synthesize : Time (s): cpu = 00:00:01" \
            "Start RTL Elaboration" "Start Technology Mapping"]
        # Otherwise the core is synthesized in a run of its own.
        if {$project(synth_checkpoint_mode) eq "None"
            && [info exists project(property,synth_1,STEPS.SYNTH_DESIGN.TCL.PRE)]} {
            set back [pwd]
            cd $project(property,synth_1,DIRECTORY)
            uplevel #0 [list source $project(property,synth_1,STEPS.SYNTH_DESIGN.TCL.PRE)]
            cd $back
        }
        foreach name [lost_memories] {
            run_lines synth_1 [list "CRITICAL WARNING: \[Synth 8-4445\] could not open \$readmem data file\
                '$name'; please make sure the file is added to project and has read permission, ignoring"]
        }
        if {[pretends licence]} {
            run_lines synth_1 {"ERROR: [Common 17-345] A valid license was not found for feature\
                'Synthesis' and/or device 'xczu7ev'. Please run the Vivado License Manager"}
            return 0
        }
        if {[pretends synthesis-error]} {
            run_lines synth_1 {"ERROR: [Synth 8-439] module 'fifo' not found"}
            return 0
        }
        return 1
    }

    proc implement {} {
        variable project
        if {$project(property,synth_1,PROGRESS) ne "100%"} {
            fail "Common 17-69" "Run 'impl_1' needs synth_1"
        }
        run_lines impl_1 [list "Starting Placer Task" "Phase 1 Placer Initialization" \
            "Starting Routing Task" "Phase 1 Build RT Design"]
        if {[pretends disk]} {
            run_lines impl_1 {"ERROR: [Common 17-1294] Unable to create directory: No space left on device"}
            return 0
        }
        return 1
    }

    # Worst slack of kind setup or hold, and the node that it is in.
    proc slack {kind} {
        return [expr {$kind eq "setup" ? ([pretends slow] ? -0.512 : 1.234) \
            : ([pretends late] ? -0.021 : 0.035)}]
    }

    proc instances {} {
        variable project
        foreach file [lindex $project(packaged,$project(cell,accelerator)) 3] {
            set channel [open $file]
            set text [read $channel]
            close $channel
            if {[regexp -all {\w+ (\w+_instance) \(} $text] > 0} {
                return [lmap {whole name} [regexp -all -inline {\w+ (\w+_instance) \(} $text] {set name}]
            }
        }
        return {}
    }

    # Where the pretended worst path is: in the middle of the accelerator.
    proc worst_instance {} {
        set all [instances]
        return system_i/accelerator/inst/accelerator/[lindex $all [expr {[llength $all] / 2}]]
    }
}

vendor get_runs {} 1 1 {
    ::stub::needs_project
    lassign $words run
    if {$run ni {synth_1 impl_1}} {
        puts "WARNING: \[Vivado 12-819\] No runs matched '$run'"
        return
    }
    if {![info exists project(property,$run,STATUS)]} {
        ::stub::set_run $run "Not started" "0%"
    }
    return $run
}

vendor reset_runs {} 1 1 {
    get_runs [lindex $words 0]
    ::stub::set_run [lindex $words 0] "Not started" "0%"
    file delete -force $project(property,[lindex $words 0],DIRECTORY)
    return
}

vendor launch_runs {-jobs 1 -to_step 1} 1 1 {
    lassign $words run
    get_runs $run
    if {$project(property,$run,PROGRESS) ne "0%"} {
        ::stub::fail "Common 17-69" "Run '$run' is complete or failed. Reset it first."
    }
    puts "\[Thu Jan  1 00:00:00 1970\] Launched $run..."
    ::stub::set_run $run "Running" "1%"
    if {[regexp {seconds=(\S+)} $::stub::pretended whole seconds]} {
        after [expr {int(1000 * $seconds)}]
    }
    lassign [expr {$run eq "synth_1" ? {synthesize synth_design} : {implement route_design}}] work step
    if {![::stub::$work]} {
        ::stub::set_run $run "$step ERROR" "30%"
    } elseif {$run eq "impl_1" && [::stub::slack setup] < 0} {
        ::stub::set_run $run "$step Complete, Failed Timing!" "100%"
    } else {
        ::stub::set_run $run "$step Complete!" "100%"
    }
    ::stub::save
    return
}

vendor wait_on_run {-timeout 1} 1 1 {
    if {$project(property,[lindex $words 0],STATUS) eq "Not started"} {
        ::stub::fail "Vivado 12-5582" "Run '[lindex $words 0]' is not launched"
    }
    return
}

vendor open_run {} 1 1 {
    get_runs [lindex $words 0]
    if {$project(property,[lindex $words 0],PROGRESS) ne "100%"} {
        ::stub::fail "Common 17-70" "Run '[lindex $words 0]' has not been completed."
    }
    set project(opened) [lindex $words 0]
    return [lindex $words 0]
}

vendor get_timing_paths {-max_paths 1 -nworst 1 -setup 0 -hold 0} 0 0 {
    if {$project(opened) ne "impl_1"} {
        ::stub::fail "Vivado 12-1" "The routed design is not open."
    }
    set kind [expr {[dict exists $option -hold] ? "hold" : "setup"}]
    set path path:$kind
    set project(property,$path,SLACK) [::stub::slack $kind]
    set project(property,$path,STARTPOINT_PIN) [::stub::worst_instance]/unit/sum_reg\[3\]/C
    set project(property,$path,ENDPOINT_PIN) [::stub::worst_instance]/unit/out_reg\[7\]/D
    return $path
}
