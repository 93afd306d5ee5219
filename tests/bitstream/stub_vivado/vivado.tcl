# SPDX-License-Identifier: Apache-2.0
# NOT Vivado: runs a script of Vivado commands against models of projects, block designs and runs.
#
#   tclsh vivado.tcl VERSION -mode batch -log FILE -source SCRIPT
#
# Commands refuse unknown options, objects that are not there and calls in the wrong order; commands
# that are not modelled do not exist. $VIVADO_STUB_CALLS names a file for all calls, a line of JSON
# each. $VIVADO_STUB lists what to pretend: no-board-files, slow (timing), late (hold time),
# synthesis-error, lost-memory, licence, disk; seconds=N makes each run last.

namespace eval stub {
    variable version [lindex $argv 0]
    variable folder [file dirname [file normalize [info script]]]
    variable pretended [expr {[info exists env(VIVADO_STUB)] ? $env(VIVADO_STUB) : ""}]
    variable calls ""
    variable log ""
    # The project as saved: array of what the commands know, by kind and name.
    variable project
    array set project {}

    proc pretends {what} {
        variable pretended
        return [expr {$what in $pretended}]
    }

    proc fail {number text} {
        error "ERROR: \[$number\] $text"
    }

    proc say {text} {
        variable log
        ::stub::real_puts $text
        flush stdout
        if {$log ne ""} {
            ::stub::real_puts $log $text
            flush $log
        }
    }

    proc quoted {text} {
        set map {\\ \\\\ \" \\\" \n \\n \t \\t \r \\r}
        return "\"[string map $map $text]\""
    }

    proc record {command arguments result} {
        variable calls
        if {$calls ne ""} {
            set quoted [join [lmap word $arguments {quoted $word}] ", "]
            real_puts $calls \
                "{\"command\": [quoted $command], \"arguments\": \[$quoted\], \"result\": [quoted $result]}"
            flush $calls
        }
    }

    # Words of a call as options with values and the rest.
    proc parse {command options words} {
        set given {}
        set rest {}
        while {[llength $words]} {
            set words [lassign $words word]
            if {![regexp {^-[a-z_]+$} $word]} {
                lappend rest $word
            } elseif {![dict exists $options $word]} {
                fail "Common 17-170" "Unknown option '$word', please type '$command -help' for usage info."
            } elseif {[dict get $options $word]} {
                set words [lassign $words value]
                dict set given $word $value
            } else {
                dict set given $word 1
            }
        }
        return [list $given $rest]
    }
}

# Define a command of Vivado: its options (with 1 if they take a value), how many other words it
# takes (lowest and highest), and what it does with $option (a dict) and $words.
proc vendor {name options lowest highest body} {
    set work ::stub::do:[string map {:: _} $name]
    proc $work {option words} "namespace upvar ::stub project project\n$body"
    proc ::$name {args} [format {
        set command %1$s
        lassign [::stub::parse $command {%2$s -quiet 0 -verbose 0} $args] option words
        if {[llength $words] < %3$d || [llength $words] > %4$d} {
            ::stub::fail "Common 17-163" "Wrong number of arguments of '$command': $words"
        }
        if {[catch {%5$s $option $words} result]} {
            ::stub::record $command $args $result
            return -code error $result
        }
        ::stub::record $command $args $result
        return $result
    } [list $name] $options $lowest $highest $work]
}

namespace eval ipx {}
rename puts ::stub::real_puts
proc puts {args} {
    if {[llength $args] == 1} {
        ::stub::say [lindex $args 0]
    } else {
        ::stub::real_puts {*}$args
    }
}

foreach part {cores project packager block_design connections addresses runs results} {
    source [file join $::stub::folder $part.tcl]
}

proc ::stub::main {words} {
    variable version
    variable log
    variable calls
    if {"-version" in $words} {
        real_puts "vivado v$version (64-bit)\nSW Build 0000000 on Thu Jan  1 00:00:00 MST 1970 (stub)"
        return 0
    }
    set options {-mode 1 -log 1 -source 1 -nojournal 0 -notrace 0 -nolog 0 -journal 1 -init 0}
    lassign [parse vivado $options $words] given rest
    if {[llength $rest] || ![dict exists $given -source] || [dict get $given -mode] ne "batch"} {
        real_puts "ERROR: \[Common 17-1\] usage of the stub: -mode batch -source SCRIPT"
        return 1
    }
    if {[dict exists $given -log]} {
        set log [open [dict get $given -log] w]
    }
    if {[info exists ::env(VIVADO_STUB_CALLS)]} {
        set calls [open $::env(VIVADO_STUB_CALLS) a]
    }
    say "****** Vivado v$version (64-bit) STUB"
    say "source [dict get $given -source] -notrace"
    if {[catch {uplevel #0 [list source [dict get $given -source]]} message]} {
        say $message
        say $::errorInfo
        say "INFO: \[Common 17-206\] Exiting Vivado"
        return 1
    }
    say "INFO: \[Common 17-206\] Exiting Vivado"
    return 0
}

exit [::stub::main [lrange $argv 1 end]]
