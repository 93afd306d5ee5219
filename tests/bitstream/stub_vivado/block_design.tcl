# SPDX-License-Identifier: Apache-2.0
# Block designs: cells, their pins and interfaces.

namespace eval stub {
    proc needs_design {} {
        variable project
        needs_project
        if {$project(design) eq ""} {
            fail "BD 5-4" "There is no current block design set."
        }
    }

    proc changed {} {
        variable project
        needs_design
        set project(validated) 0
        set project(saved) 0
    }

    # Objects a/b that match a pattern, of what `outside` gives at position `index`.
    proc objects {pattern index} {
        variable project
        set found {}
        set pattern [string trimleft $pattern /]
        foreach key [lsort [array names project cell,*]] {
            set cell [string range $key 5 end]
            foreach {name direction kind} [lindex [outside $cell] $index] {
                if {[string match $pattern $cell/$name]} {
                    lappend found /$cell/$name
                }
            }
        }
        return $found
    }

    proc of_object {object index} {
        lassign [split [string trimleft $object /] /] cell name
        foreach {other direction kind} [lindex [outside $cell] $index] {
            if {$other eq $name} {
                return [list $direction $kind]
            }
        }
        fail "BD 5-5" "There is no '$object'."
    }

    # The processor makes its clock of 1500 (Zynq-7000: 1000) MHz by whole numbers.
    proc clock_of_processor {cell} {
        variable project
        foreach {asked actual source} {
            PCW_FPGA0_PERIPHERAL_FREQMHZ PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ 1000.0
            PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ 1500.0
        } {
            if {[info exists project(config,$cell,$asked)]} {
                if {[info exists project(config,$cell,PSU__OVERRIDE__BASIC_CLOCK)]
                    && $project(config,$cell,PSU__OVERRIDE__BASIC_CLOCK)} {
                    return
                }
                set divisor [expr {ceil($source / $project(config,$cell,$asked) - 1e-9)}]
                set project(config,$cell,$actual) [expr {$source / $divisor}]
            }
        }
    }
}

vendor create_bd_design {} 1 1 {
    ::stub::needs_project
    lassign $words name
    set project(design) $name
    set file [file join $project(directory) $project(name).srcs sources_1 bd $name $name.bd]
    file mkdir [file dirname $file]
    close [open $file w]
    lappend project(files) $file
    ::stub::changed
    return $name
}

vendor create_bd_cell {-type 1 -vlnv 1} 1 1 {
    ::stub::changed
    lassign $words name
    set vlnv [dict get $option -vlnv]
    if {$vlnv ni [::stub::catalogue]} {
        ::stub::fail "BD 5-390" "IP definition not found for VLNV: $vlnv"
    }
    if {[info exists project(cell,$name)]} {
        ::stub::fail "BD 5-6" "There is a cell '$name'."
    }
    set inline [string match *:inline_hdl:* $vlnv]
    if {[dict get $option -type] ne [expr {$inline ? "inline_hdl" : "ip"}]} {
        ::stub::fail "BD 5-7" "$vlnv is not of type [dict get $option -type]"
    }
    set project(cell,$name) $vlnv
    set type [lindex [split $vlnv :] 2]
    if {[dict exists $::stub::settings $type]} {
        dict for {setting value} [dict get $::stub::settings $type] {
            set project(config,$name,$setting) $value
        }
    }
    return /$name
}

vendor get_bd_cells {} 1 1 {
    ::stub::needs_design
    set name [string trimleft [lindex $words 0] /]
    if {![info exists project(cell,$name)]} {
        puts "WARNING: \[BD 5-232\] No cells matched 'get_bd_cells $name'"
        return
    }
    return /$name
}

vendor get_bd_pins {} 1 1 {
    ::stub::needs_design
    set found [::stub::objects [lindex $words 0] 1]
    if {$found eq ""} {
        puts "WARNING: \[BD 5-235\] No pins matched 'get_bd_pins [lindex $words 0]'"
    }
    return $found
}

vendor get_bd_intf_pins {} 1 1 {
    ::stub::needs_design
    set found [::stub::objects [lindex $words 0] 0]
    if {$found eq ""} {
        puts "WARNING: \[BD 5-230\] No interface pins matched 'get_bd_intf_pins [lindex $words 0]'"
    }
    return $found
}

vendor apply_bd_automation {-rule 1 -config 1} 1 1 {
    ::stub::changed
    set cell [string trimleft [lindex $words 0] /]
    set type [lindex [split $project(cell,$cell) :] 2]
    if {[dict get $option -rule] ne "xilinx.com:bd_rule:$type"} {
        ::stub::fail "BD 5-8" "Rule [dict get $option -rule] is not for $type"
    }
    set config [dict get $option -config]
    if {[dict get $config apply_board_preset]} {
        if {$project(board) eq ""} {
            ::stub::fail "BD 5-9" "There is no board whose preset could be applied"
        }
        set project(config,$cell,apply_board_preset) 1
        if {[string match *kv260* $project(board)]} {
            set project(config,$cell,PSU__DDRC__DEVICE_CAPACITY) "8192 MBits"
        }
    }
    if {$type eq "processing_system7"} {
        if {![dict exists $config make_external]} {
            ::stub::fail "BD 5-10" "DDR and FIXED_IO are not external"
        }
        set project(external) [dict get $config make_external]
    }
    return
}
