# SPDX-License-Identifier: Apache-2.0
# Address spaces of masters, segments of slaves.

namespace eval stub {
    # Spaces: name and the interface of the master.
    proc spaces {} {
        variable project
        set found {}
        foreach key [array names project cell,*] {
            set cell [string range $key 5 end]
            foreach {name mode kind} [lindex [outside $cell] 0] {
                switch -glob [lindex [split $project($key) :] 2],$mode,$name {
                    processing_system7,Master,* - zynq_ultra_ps_e,Master,* {
                        dict lappend found /$cell/Data /$cell/$name
                    }
                    axi_dma,Master,M_AXI_MM2S {dict lappend found /$cell/Data_MM2S /$cell/$name}
                    axi_dma,Master,M_AXI_S2MM {dict lappend found /$cell/Data_S2MM /$cell/$name}
                }
            }
        }
        return $found
    }

    # Segments: name, then the interface of the slave, lowest and highest address that it may have.
    proc segments {} {
        variable project
        set found {}
        foreach key [array names project cell,*] {
            set cell [string range $key 5 end]
            set type [lindex [split $project($key) :] 2]
            set names [lmap {name mode kind} [lindex [outside $cell] 0] {set name}]
            switch $type {
                processing_system7 {
                    if {"S_AXI_HP0" in $names} {
                        dict set found /$cell/S_AXI_HP0/HP0_DDR_LOWOCM \
                            [list /$cell/S_AXI_HP0 0 0x40000000]
                    }
                }
                zynq_ultra_ps_e {
                    if {"S_AXI_HP0_FPD" in $names} {
                        set port /$cell/S_AXI_HP0_FPD
                        dict set found /$cell/SAXIGP2/HP0_DDR_LOW [list $port 0 0x80000000]
                        dict set found /$cell/SAXIGP2/HP0_QSPI [list $port 0xC0000000 0xE0000000]
                        dict set found /$cell/SAXIGP2/HP0_LPS_OCM [list $port 0xFF000000 0x100000000]
                        if {$project(config,$cell,PSU__DDRC__DEVICE_CAPACITY) eq "8192 MBits"} {
                            dict set found /$cell/SAXIGP2/HP0_DDR_HIGH \
                                [list $port 0x800000000 0x1000000000]
                        }
                    }
                }
                axi_dma {
                    dict set found /$cell/S_AXI_LITE/Reg [list /$cell/S_AXI_LITE 0 0x100000000]
                }
                default {
                    if {[info exists project(packaged,$project($key))]} {
                        foreach {name range} [lindex $project(packaged,$project($key)) 2] {
                            lassign [split $name /] interface
                            dict set found /$cell/$name [list /$cell/$interface 0 0x100000000]
                        }
                    }
                }
            }
        }
        return $found
    }

    proc width_of {space} {
        variable project
        lassign [split [string trimleft $space /] /] cell
        if {[info exists project(config,$cell,c_addr_width)]} {
            return $project(config,$cell,c_addr_width)
        }
        return 40
    }

    proc one_of {found kind pattern} {
        if {[llength $found] != 1} {
            fail "BD 41-1051" "[llength $found] $kind match '$pattern'"
        }
        return $found
    }
}

vendor get_bd_addr_spaces {} 1 1 {
    ::stub::needs_design
    set pattern /[string trimleft [lindex $words 0] /]
    return [lsearch -all -inline -glob [dict keys [::stub::spaces]] $pattern]
}

vendor get_bd_addr_segs {} 1 1 {
    ::stub::needs_design
    set pattern /[string trimleft [lindex $words 0] /]
    return [lsort [lsearch -all -inline -glob [dict keys [::stub::segments]] $pattern]]
}

vendor assign_bd_address {-offset 1 -range 1 -target_address_space 1 -force 0} 1 1 {
    ::stub::changed
    set space [::stub::one_of [dict get $option -target_address_space] "address spaces" $option]
    set segment [::stub::one_of [lindex $words 0] segments $words]
    lassign [dict get [::stub::segments] $segment] interface lowest end
    set reached {}
    foreach master [dict get [::stub::spaces] $space] {
        lappend reached {*}[::stub::slaves_behind $master]
    }
    if {$interface ni $reached} {
        ::stub::fail "BD 41-1377" "no path from $space to $segment"
    }
    set offset [expr {[dict get $option -offset]}]
    set range [expr {[dict get $option -range]}]
    if {$range & ($range - 1) || $offset % $range} {
        ::stub::fail "BD 41-1051" "offset $offset is no multiple of range $range"
    }
    if {$offset < $lowest || $offset + $range > $end || $offset + $range > 1 << [::stub::width_of $space]} {
        ::stub::fail "BD 41-1052" "$segment cannot be at [format 0x%llX $offset] of $space"
    }
    set project(assigned,$space,$segment,$offset,$range) 1
    return
}

vendor exclude_bd_addr_seg {-target_address_space 1} 1 1 {
    ::stub::changed
    set space [::stub::one_of [dict get $option -target_address_space] "address spaces" $option]
    set segment [::stub::one_of [lindex $words 0] segments $words]
    set project(excluded,$space,$segment) 1
    return
}
