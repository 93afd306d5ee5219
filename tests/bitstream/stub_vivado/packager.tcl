# SPDX-License-Identifier: Apache-2.0
# The IP packager: interfaces by the names of ports, component.xml.

namespace eval stub {
    variable ports_of {
        aximm {awaddr awvalid awready wdata wvalid wready bresp bvalid bready araddr arvalid arready
            rdata rresp rvalid rready}
        axis {tdata tvalid tready}
    }

    # Ports of a module among the files of the project: name and direction.
    proc ports_of_module {module} {
        variable project
        foreach file $project(files) {
            set channel [open $file]
            set text [read $channel]
            close $channel
            if {[regexp "\\mmodule\\s+$module\\s*(#\\(.*?\\))?\\s*\\((.*?)\\);" $text whole parameters list]} {
                set ports {}
                foreach {whole direction name} [regexp -all -inline \
                    {(input|output)\s+(?:wire\s+|reg\s+)?(?:\[[^]]*\]\s*)?(\w+)} $list] {
                    dict set ports $name $direction
                }
                return $ports
            }
        }
        fail "filemgmt 20-730" "Could not find a top module in the fileset sources_1."
    }

    # Interfaces by name prefix: {name mode kind ...}.
    proc inferred {ports} {
        variable ports_of
        set found {}
        dict for {port direction} $ports {
            if {[regexp {^(.*)_(tdata|awaddr)$} $port whole name suffix]} {
                set kind [expr {$suffix eq "tdata" ? "axis" : "aximm"}]
                set complete 1
                foreach other [dict get $ports_of $kind] {
                    set complete [expr {$complete && [dict exists $ports ${name}_$other]}]
                }
                if {$complete} {
                    lappend found $name [expr {$direction eq "input" ? "Slave" : "Master"}] $kind
                }
            }
        }
        return $found
    }

    proc needs_core {object} {
        variable project
        if {$object ne "ipx:core" || ![info exists project(ipx,top)]} {
            fail "IP_Flow 19-343" "There is no IP core '$object'."
        }
    }

    # Objects ipx:<kind>:... whose last part matches.
    proc matching {kind pattern} {
        variable project
        set found {}
        foreach name [lsort [array names project ipx:$kind:*]] {
            if {[string match $pattern [lindex [split $name :] end]]} {
                lappend found $name
            }
        }
        return $found
    }

    proc set_of_component {object name value} {
        variable project
        set known {
            core {name version display_name description ipi_drc}
            bus {slave_memory_map_ref}
            parameter {value}
            block {range width usage}
            map {}
        }
        set kind [lindex [split $object :] 1]
        if {$name ni [dict get $known $kind]} {
            fail "Common 17-54" "The object '$object' does not have a property '$name'."
        }
        if {$name eq "slave_memory_map_ref" && ![info exists project(ipx:map:$value)]} {
            fail "IP_Flow 19-3" "There is no memory map '$value'."
        }
        dict set project($object) $name $value
    }

    proc get_of_component {object name} {
        variable project
        return [expr {$name eq "NAME" ? [lindex [split $object :] end] : [dict get $project($object) $name]}]
    }
}

vendor ipx::package_project {-force 0 -root_dir 1 -vendor 1 -library 1 -taxonomy 1 -import_files 0} 0 0 {
    ::stub::needs_project
    if {$project(top) eq ""} {
        ::stub::fail "IP_Flow 19-459" "There is no top module."
    }
    set ports [::stub::ports_of_module $project(top)]
    set project(ipx,top) $project(top)
    set project(ipx,root) [dict get $option -root_dir]
    set project(ipx:core) [list vendor [dict get $option -vendor] library [dict get $option -library] \
        name $project(top) version 1.0]
    foreach {name mode kind} [::stub::inferred $ports] {
        set project(ipx:bus:$name) [list mode $mode kind $kind]
        if {$kind eq "aximm"} {
            set project(ipx:map:$name) {}
            set project(ipx:block:$name:reg0) {range 65536}
        }
    }
    foreach {port direction} $ports {
        if {$direction eq "input" && [regexp {clk$} $port]} {
            set project(ipx:bus:$port) {mode Slave kind clock}
        } elseif {$direction eq "input" && [regexp {(rst_n|resetn)$} $port]} {
            set project(ipx:bus:$port) {mode Slave kind reset}
        }
    }
    return ipx:core
}
vendor ipx::current_core {} 0 0 {return ipx:core}
vendor ipx::infer_bus_interfaces {} 2 2 {::stub::needs_core [lindex $words 1]}
vendor ipx::get_bus_interfaces {-of_objects 1} 1 1 {
    ::stub::needs_core [dict get $option -of_objects]
    return [::stub::matching bus [lindex $words 0]]
}
vendor ipx::associate_bus_interfaces {-busif 1 -clock 1 -reset 1} 1 1 {
    ::stub::needs_core [lindex $words 0]
    foreach {key name} $option {
        if {[llength [::stub::matching bus $name]] != 1} {
            ::stub::fail "IP_Flow 19-4" "There is no bus interface '$name'."
        }
    }
    if {[dict exists $option -busif]} {
        dict set project(ipx:bus:[dict get $option -busif]) clock [dict get $option -clock]
    } else {
        dict set project(ipx:bus:[dict get $option -clock]) reset [dict get $option -reset]
    }
    return
}
vendor ipx::get_bus_parameters {-of_objects 1} 1 1 {
    set bus [lindex [split [dict get $option -of_objects] :] end]
    set name ipx:parameter:$bus:[lindex $words 0]
    return [expr {[info exists project($name)] ? $name : ""}]
}
vendor ipx::add_bus_parameter {} 2 2 {
    lassign $words name bus
    set object ipx:parameter:[lindex [split $bus :] end]:$name
    set project($object) {}
    return $object
}
vendor ipx::get_memory_maps {-of_objects 1} 0 0 {
    ::stub::needs_core [dict get $option -of_objects]
    return [::stub::matching map *]
}
vendor ipx::remove_memory_map {} 2 2 {
    array unset project ipx:map:[lindex $words 0]
    array unset project ipx:block:[lindex $words 0]:*
    return
}
vendor ipx::add_memory_map {} 2 2 {
    ::stub::needs_core [lindex $words 1]
    set project(ipx:map:[lindex $words 0]) {}
    return ipx:map:[lindex $words 0]
}
vendor ipx::add_address_block {} 2 2 {
    lassign $words name map
    if {![info exists project($map)]} {
        ::stub::fail "IP_Flow 19-5" "There is no memory map '$map'."
    }
    set project(ipx:block:[lindex [split $map :] end]:$name) {}
    return ipx:block:[lindex [split $map :] end]:$name
}
vendor ipx::create_xgui_files {} 1 1 {::stub::needs_core [lindex $words 0]}
vendor ipx::update_checksums {} 1 1 {::stub::needs_core [lindex $words 0]}
vendor ipx::save_core {} 1 1 {
    ::stub::needs_core [lindex $words 0]
    set interfaces {}
    set pins {}
    set segments {}
    foreach bus [::stub::matching bus *] {
        set name [lindex [split $bus :] end]
        set kind [dict get $project($bus) kind]
        if {$kind eq "clock"} {
            if {![dict exists $project($bus) reset]} {
                ::stub::fail "IP_Flow 19-7" "Clock '$name' has no reset."
            }
            lappend pins $name I clk
        } elseif {$kind eq "reset"} {
            set polarity ipx:parameter:$name:POLARITY
            set low [expr {[info exists project($polarity)]
                && $project($polarity) eq "value ACTIVE_LOW"}]
            lappend pins $name I [expr {$low ? "rst" : "rst_high"}]
        } else {
            if {![dict exists $project($bus) clock]} {
                ::stub::say "CRITICAL WARNING: \[IP_Flow 19-11770\] Clock interface missing for '$name'"
                continue
            }
            lappend interfaces $name [dict get $project($bus) mode] $kind
        }
        if {[dict exists $project($bus) slave_memory_map_ref]} {
            foreach block [array names project ipx:block:$name:*] {
                lappend segments $name/[lindex [split $block :] end] [dict get $project($block) range]
            }
        }
    }
    set core $project(ipx:core)
    set vlnv [join [lmap part {vendor library name version} {dict get $core $part}] :]
    set inside [lmap file $project(files) {
        if {[string first $project(ipx,root)/ $file] != 0} {
            ::stub::fail "IP_Flow 19-6" "File '$file' is outside the folder of the core"
        }
        set file
    }]
    set channel [open [file join $project(ipx,root) component.xml] w]
    puts $channel "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<spirit:component>"
    puts $channel "<!-- stub $vlnv [list [list $interfaces $pins $segments $inside]] -->"
    puts $channel "</spirit:component>"
    close $channel
    return
}
