# SPDX-License-Identifier: Apache-2.0
# Nets and connections of interfaces; validation; what tests look at.

namespace eval stub {
    # The slave at the other end of a master, through SmartConnects; several behind one.
    proc slaves_behind {master} {
        variable project
        if {![info exists project(peer,$master)]} {
            return {}
        }
        set slave $project(peer,$master)
        lassign [split [string trimleft $slave /] /] cell name
        if {[lindex [split $project(cell,$cell) :] 2] ne "smartconnect"} {
            return [list $slave]
        }
        set found {}
        foreach {name mode kind} [lindex [outside $cell] 0] {
            if {$mode eq "Master"} {
                lappend found {*}[slaves_behind /$cell/$name]
            }
        }
        return $found
    }

    proc json_list {items} {
        return "\[[join $items ", "]\]"
    }

    # The design as JSON, for the tests.
    proc write_model {file} {
        variable project
        set cells {}
        foreach key [lsort [array names project cell,*]] {
            set cell [string range $key 5 end]
            set parts {}
            foreach list [outside $cell] {
                lappend parts [json_list [lmap {a b c} $list {
                    json_list [list [quoted $a] [quoted $b] [quoted $c]]
                }]]
                if {[llength $parts] == 2} break
            }
            set config [lmap name [lsort [array names project config,$cell,*]] {
                set value $project($name)
                format "%s: %s" [quoted [lindex [split $name ,] 2]] [quoted $value]
            }]
            lappend cells "[quoted $cell]: {\"vlnv\": [quoted $project($key)], \"interfaces\":\
                [lindex $parts 0], \"pins\": [lindex $parts 1], \"config\": {[join $config ", "]}}"
        }
        set nets {}
        foreach key [lsort [array names project driver,*]] {
            lappend nets [json_list [list [quoted $project($key)] [quoted [string range $key 7 end]]]]
        }
        set links {}
        foreach key [lsort [array names project peer,*]] {
            lappend links [json_list [list [quoted [string range $key 5 end]] [quoted $project($key)]]]
        }
        set segments [lmap key [lsort [array names project assigned,*]] {
            json_list [lmap part [split [string range $key 9 end] ,] {quoted $part}]
        }]
        set excluded [lmap key [lsort [array names project excluded,*]] {
            json_list [lmap part [split [string range $key 9 end] ,] {quoted $part}]
        }]
        set channel [open $file w]
        real_puts $channel "{\"cells\": {[join $cells ", "]}, \"nets\": [json_list $nets],\
            \"links\": [json_list $links], \"segments\": [json_list $segments],\
            \"excluded\": [json_list $excluded], \"slave_segments\":\
            [json_list [lmap name [dict keys [segments]] {quoted $name}]], \"part\": [quoted $project(part)],\
            \"board\": [quoted $project(board)]}"
        close $channel
    }
}

vendor connect_bd_intf_net {} 2 2 {
    ::stub::changed
    lassign $words one other
    if {[llength $one] != 1 || [llength $other] != 1} {
        ::stub::fail "BD 5-106" "Arguments to the connect_bd_intf_net command cannot be empty."
    }
    lassign [::stub::of_object $one 0] mode kind
    lassign [::stub::of_object $other 0] other_mode other_kind
    if {$kind ne $other_kind || $mode eq $other_mode} {
        ::stub::fail "BD 41-171" "$one ($mode $kind) and $other ($other_mode $other_kind) do not match"
    }
    foreach pin $words {
        foreach key [array names project peer,*] {
            if {$pin eq [string range $key 5 end] || $pin eq $project($key)} {
                ::stub::fail "BD 41-703" "$pin is connected already"
            }
        }
    }
    if {$mode eq "Master"} {
        set project(peer,$one) $other
    } else {
        set project(peer,$other) $one
    }
    return
}

vendor connect_bd_net {} 2 1000 {
    ::stub::changed
    set drivers {}
    set sinks {}
    foreach pin $words {
        if {[llength $pin] != 1} {
            ::stub::fail "BD 5-4" "Arguments to the connect_bd_net command cannot be empty."
        }
        if {[lindex [::stub::of_object $pin 1] 0] eq "O"} {
            lappend drivers $pin
        } else {
            lappend sinks $pin
        }
    }
    if {[llength $drivers] != 1} {
        ::stub::fail "BD 41-1271" "a net has [llength $drivers] drivers: $words"
    }
    set kind [lindex [::stub::of_object $drivers 1] 1]
    foreach pin $sinks {
        if {[info exists project(driver,$pin)]} {
            ::stub::fail "BD 41-1272" "$pin is driven already"
        }
        if {[lindex [::stub::of_object $pin 1] 1] ni [list $kind other]} {
            ::stub::fail "BD 41-1273" "$drivers does not fit $pin"
        }
        set project(driver,$pin) $drivers
    }
    return
}

vendor validate_bd_design {-force 0} 0 0 {
    ::stub::needs_design
    set project(validated) 1
    ::stub::write_model [file join $project(directory) model.json]
    return
}

vendor save_bd_design {} 0 0 {
    ::stub::needs_design
    set project(saved) 1
    ::stub::save
}

vendor generate_target {-force 0} 2 2 {
    ::stub::needs_design
    lassign $words targets file
    if {$file ni $project(files) || [file extension $file] ne ".bd"} {
        ::stub::fail "Vivado 12-106" "No source file '$file'"
    }
    if {!$project(validated) || !$project(saved)} {
        ::stub::fail "BD 41-1" "the block design is not validated and saved"
    }
    set name [file rootname [file tail $file]]
    set folder [file join $project(directory) $project(name).gen sources_1 bd $name]
    file mkdir $folder/hdl $folder/hw_handoff
    ::stub::write_handoff $folder/hw_handoff/$name.hwh
    set project(generated) $name
    return
}

vendor make_wrapper {-files 1 -top 0} 0 0 {
    ::stub::needs_design
    if {![info exists project(generated)] || [dict get $option -files] ni $project(files)} {
        ::stub::fail "BD 5-11" "the block design is not generated"
    }
    set name $project(generated)
    set file [file join $project(directory) $project(name).gen sources_1 bd $name hdl ${name}_wrapper.v]
    set channel [open $file w]
    puts $channel "module ${name}_wrapper ();\nendmodule"
    close $channel
    return $file
}
