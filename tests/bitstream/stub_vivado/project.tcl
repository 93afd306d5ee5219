# SPDX-License-Identifier: Apache-2.0
# Projects, files, the catalogue of cores and boards.

namespace eval stub {
    # Boards with their parts; several revisions where Vivado has several.
    variable boards {
        tul.com.tw:pynq-z2:part0:1.0 xc7z020clg400-1
        www.digilentinc.com:pynq-z1:part0:1.0 xc7z020clg400-1
        digilentinc.com:arty-z7-20:part0:1.0 xc7z020clg400-1
        digilentinc.com:arty-z7-20:part0:1.1 xc7z020clg400-1
        avnet.com:ultra96v2:part0:1.2 xczu3eg-sbva484-1-i
        xilinx.com:zcu104:part0:1.1 xczu7ev-ffvc1156-2-e
        xilinx.com:kv260_som:part0:1.3 xck26-sfvc784-2LV-c
        xilinx.com:kv260_som:part0:1.4 xck26-sfvc784-2LV-c
    }
    # Properties of things that are no cells.
    variable known {
        current_project {board_part ip_repo_paths target_language part}
        current_fileset {top}
        file {synth_checkpoint_mode}
    }

    proc needs_project {} {
        variable project
        if {![info exists project(name)]} {
            fail "Common 17-53" "No open project. Please create or open a project before executing this command."
        }
    }

    proc save {} {
        variable project
        set channel [open [file join $project(directory) $project(name).xpr] w]
        real_puts $channel [array get project]
        close $channel
    }

    # Cores in a folder: component.xml of the packager below.
    proc scan_repository {path} {
        variable project
        set file [file join $path component.xml]
        if {![file exists $file]} {
            say "WARNING: \[IP_Flow 19-2248\] Failed to load user IP repository '$path'"
            return
        }
        set channel [open $file]
        set text [read $channel]
        close $channel
        if {![regexp {<!-- stub (.*?) (\{.*\}) -->} $text whole vlnv description]} {
            fail "IP_Flow 19-1" "$file is no component"
        }
        set project(packaged,$vlnv) [lindex $description 0]
    }
}

vendor version {-short 0} 0 0 {return $::stub::version}
vendor set_param {} 2 2 {
    if {[lindex $words 0] ni {board.repoPaths general.maxThreads}} {
        ::stub::fail "Common 17-55" "Unknown parameter '[lindex $words 0]'"
    }
    return [lindex $words 1]
}

vendor create_project {-force 0 -part 1} 1 2 {
    lassign $words name directory
    if {[dict get $option -part] eq "" || ![regexp {^xc[7kz]} [dict get $option -part]]} {
        ::stub::fail "Coretcl 2-106" "Specified part could not be found."
    }
    if {$directory eq ""} {
        set directory $name
    }
    if {[file exists $directory/$name.xpr] && ![dict exists $option -force]} {
        ::stub::fail "Common 17-53" "Project already exists on disk, please use '-force' option to overwrite"
    }
    file delete -force $directory
    file mkdir $directory
    array unset project
    array set project [list name $name directory $directory part [dict get $option -part] \
        files {} top {} board {} design {} validated 0 synth_checkpoint_mode Hierarchical]
    ::stub::save
    return $name
}

vendor open_project {} 1 1 {
    if {![file exists [lindex $words 0]]} {
        ::stub::fail "Coretcl 2-27" "Can't find specified project."
    }
    set channel [open [lindex $words 0]]
    array unset project
    array set project [read $channel]
    close $channel
    unset -nocomplain project(opened)
    return $project(name)
}

vendor close_project {} 0 0 {
    ::stub::needs_project
    ::stub::save
    array unset project
    return
}

vendor current_project {} 0 0 {::stub::needs_project; return current_project}
vendor current_fileset {} 0 0 {::stub::needs_project; return current_fileset}

vendor add_files {-norecurse 0 -fileset 1} 1 1 {
    ::stub::needs_project
    foreach file [lindex $words 0] {
        if {![file exists $file]} {
            ::stub::fail "Vivado 12-172" "File or Directory '$file' does not exist"
        }
        lappend project(files) $file
    }
    return [lindex $words 0]
}

vendor update_compile_order {-fileset 1} 0 0 {::stub::needs_project}

vendor get_files {} 1 1 {
    ::stub::needs_project
    set found {}
    foreach file $project(files) {
        if {[string match [lindex $words 0] [file tail $file]]} {
            lappend found $file
        }
    }
    return $found
}

vendor get_board_parts {-latest_file_version 0} 1 1 {
    set found {}
    if {![::stub::pretends no-board-files]} {
        dict for {board part} $::stub::boards {
            if {[string match [lindex $words 0] $board]} {
                lappend found $board
            }
        }
    }
    if {[dict exists $option -latest_file_version]} {
        set found [lindex [lsort -dictionary $found] end]
    }
    return $found
}

vendor update_ip_catalog {-rebuild 0} 0 0 {
    ::stub::needs_project
    foreach path $project(ip_repo_paths) {
        ::stub::scan_repository $path
    }
}

vendor get_ipdefs {-all 0 -filter 1} 1 1 {
    ::stub::needs_project
    return [lsearch -all -inline -glob [::stub::catalogue] [lindex $words 0]]
}

# Properties: of cells (CONFIG.*), runs, paths, parts of a component, and of the few others.
vendor set_property {-dict 1} 1 3 {
    ::stub::needs_project
    if {[dict exists $option -dict]} {
        lassign [list [dict get $option -dict] [lindex $words 0]] values object
    } else {
        lassign $words name value object
        set values [list $name $value]
    }
    if {$object eq "" || [llength $values] % 2} {
        ::stub::fail "Common 17-55" "'set_property' expects at least one object."
    }
    dict for {name value} $values {
        ::stub::set_one $object $name $value
    }
}

proc ::stub::set_one {object name value} {
    variable project
    variable known
    if {[info exists project(cell,[string trimleft $object /])]} {
        set cell [string trimleft $object /]
        set key config,$cell,[string range $name 7 end]
        if {![string match CONFIG.* $name] || ![info exists project($key)]} {
            fail "Common 17-54" "The object 'bd_cell' does not have a property '$name'."
        }
        set project($key) $value
        clock_of_processor $cell
    } elseif {[string match ipx:* $object]} {
        set_of_component $object $name $value
    } elseif {$object in {synth_1 impl_1} && [regexp {^STEPS\.\w+\.TCL\.(PRE|POST)$} $name]} {
        set project(property,$object,$name) $value
    } else {
        set kind [expr {[lsearch -exact $project(files) $object] >= 0 ? "file" : $object}]
        if {![dict exists $known $kind] || $name ni [dict get $known $kind]} {
            fail "Common 17-54" "The object '$object' does not have a property '$name'."
        }
        set_of_project $kind $name $value
    }
}

proc ::stub::set_of_project {kind name value} {
    variable project
    variable boards
    switch $name {
        board_part {
            if {![dict exists $boards $value] || [dict get $boards $value] ne $project(part)} {
                fail "Board 49-71" "The board_part definition was not found for $value. The project's\
                    board_part property was not set"
            }
            set project(board) $value
        }
        top {
            if {$value ni [lmap file $project(files) {file rootname [file tail $file]}]} {
                fail "filemgmt 20-730" "Could not find the top module '$value'."
            }
            set project(top) $value
        }
        default {
            set project($name) $value
        }
    }
}

vendor get_property {} 2 2 {
    ::stub::needs_project
    lassign $words name object
    set cell [string trimleft $object /]
    if {[info exists project(cell,$cell)]} {
        if {$name eq "VLNV"} {
            return $project(cell,$cell)
        }
        return $project(config,$cell,[string range $name 7 end])
    }
    if {[string match ipx:* $object]} {
        return [::stub::get_of_component $object $name]
    }
    if {![info exists project(property,$object,$name)]} {
        ::stub::fail "Common 17-54" "The object '$object' does not have a property '$name'."
    }
    return $project(property,$object,$name)
}
