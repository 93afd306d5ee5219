# SPDX-License-Identifier: Apache-2.0
# Files that Vivado leaves: reports in its formats, .bit with its header, .hwh.

namespace eval stub {
    proc write_file {name text} {
        set channel [open $name w]
        fconfigure $channel -translation lf
        real_puts -nonewline $channel $text
        close $channel
    }

    proc header {title command} {
        variable version
        variable project
        set rule [string repeat - 96]
        return "Copyright 1986-2022 Xilinx, Inc. All Rights Reserved.\n$rule\n| Tool Version :\
            Vivado v.$version (lin64) (stub)\n| Command      : $command\n| Design       :\
            system_wrapper\n| Device       : $project(part)\n$rule\n\n$title\n\n"
    }

    # Numbers are made up: 20 LUTs and 30 flip-flops a node, half a block RAM and a DSP slice for
    # every fourth.
    proc utilization {} {
        set rule "+[string repeat - 40]+[string repeat [string repeat - 12]+ 9]\n"
        set columns {Instance Module {Total LUTs} {Logic LUTs} LUTRAMs SRLs FFs RAMB36 RAMB18 {DSP Blocks}}
        set rows {}
        set count 0
        foreach instance [instances] {
            incr count
            set fourth [expr {$count % 4 == 0}]
            lappend rows [list "              $instance" node 20 18 2 0 30 0 $fourth $fourth]
        }
        set fourths [expr {$count / 4}]
        set sum [list [expr {20 * $count}] [expr {18 * $count}] [expr {2 * $count}] 0 \
            [expr {30 * $count}] 0 $fourths $fourths]
        set whole [list [expr {20 * $count + 3000}] [expr {18 * $count + 2700}] \
            [expr {2 * $count + 100}] 200 [expr {30 * $count + 4000}] 2 $fourths $fourths]
        set rows [list [list system_wrapper (top) {*}$whole] \
            [list "  (system_wrapper)" (top) 0 0 0 0 0 0 0 0] [list "  system_i" system {*}$whole] \
            [list "    accelerator" system_accelerator_0_0 {*}$sum] \
            [list "      inst" shell {*}$sum] [list "        accelerator" top {*}$sum] {*}$rows]
        set text "1. Utilization by Hierarchy\n---------------------------\n\n$rule"
        foreach row [linsert $rows 0 $columns] {
            set cells [lmap cell $row {format " %10s " $cell}]
            append text "|[format " %-38s " [lindex $row 0]]|[join [lrange $cells 1 end] |]|\n"
            if {$row eq $columns} {
                append text $rule
            }
        }
        return "$text$rule"
    }

    proc timing_path {kind word} {
        set slack [slack $kind]
        set state [expr {$slack < 0 ? "VIOLATED" : "MET"}]
        set clock "(rising edge-triggered cell FDRE clocked by clk_fpga_0  {rise@0.000ns fall@5.000ns\
            period=10.000ns})"
        return "$word Delay Paths\n[string repeat - 86]\nSlack ($state) :        ${slack}ns  (required\
            time - arrival time)\n  Source:                 [worst_instance]/unit/sum_reg\[3\]/C\n\
            \                           $clock\n  Destination:           \
            [worst_instance]/unit/out_reg\[7\]/D\n                            $clock\n  Path\
            Group:             clk_fpga_0\n  Requirement:            10.000ns\n  Data Path Delay:       \
            9.700ns  (logic 3.776ns (38.9%)  route 5.924ns (61.1%))\n  Logic Levels:           9 \
            (CARRY4=4 LUT4=1 LUT6=4)\n\n"
    }

    proc timing_summary {} {
        set setup [slack setup]
        set hold [slack hold]
        set failing [expr {$setup < 0 ? 12 : 0}]
        set rule [string repeat - 100]
        return "$rule\n| Design Timing Summary\n| ---------------------\n$rule\n\n\
            \   WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)     \
            THS(ns)  THS Failing Endpoints  THS Total Endpoints     WPWS(ns)     TPWS(ns)  TPWS Failing\
            Endpoints  TPWS Total Endpoints  \n    -------      -------  ---------------------  \
            -------------------      -------      -------  ---------------------  -------------------\
            \    --------     --------  ----------------------  --------------------  \n     $setup       \
            0.000                     $failing                12345        $hold        0.000          \
            0                12345        3.750        0.000                       0                5432 \
            \n\n\n$rule\n| Timing Details\n| --------------\n$rule\n\n[timing_path setup Max][timing_path hold Min]"
    }

    proc power {} {
        set rule "+--------------------------+--------------+\n"
        return "1. Summary\n----------\n\n$rule| Total On-Chip Power (W)  | 1.612        |\n| Design\
            Power Budget (W)  | Unspecified* |\n| Dynamic (W)              | 1.475        |\n| Device\
            Static (W)        | 0.137        |\n| Effective TJA (C/W)      | 11.5         |\n$rule"
    }

    proc report {option title command text} {
        variable project
        if {![info exists project(opened)]} {
            fail "Common 17-53" "No open design. Please open an elaborated, synthesized or implemented\
                design before executing this command."
        }
        write_file [dict get $option -file] "[header $title $command]$text"
    }

    proc name_field {letter text} {
        return "$letter[binary format S [expr {[string length $text] + 1}]]$text\0"
    }

    # What the board's Linux reads: cells with registers, clocks of the processor.
    proc write_handoff {file} {
        variable project
        variable version
        set modules ""
        set ranges ""
        set architecture [expr {[string match xc7z* $project(part)] ? "zynq" : "zynquplus"}]
        set master [dict get {zynq M_AXI_GP0 zynquplus M_AXI_HPM0_FPD} $architecture]
        foreach key [lsort [array names project assigned,/ps/Data,*]] {
            lassign [split $key ,] - - segment offset range
            lassign [split [string trimleft $segment /] /] cell interface block
            set vlnv $project(cell,$cell)
            set base [string toupper "C_${interface}_BASEADDR"]
            set high [string toupper "C_${interface}_HIGHADDR"]
            set first [format 0x%08X $offset]
            set last [format 0x%08X [expr {$offset + $range - 1}]]
            append ranges "<MEMRANGE ADDRESSBLOCK=\"$block\" BASENAME=\"$base\" BASEVALUE=\"$first\"\
                HIGHNAME=\"$high\" HIGHVALUE=\"$last\" INSTANCE=\"$cell\" IS_DATA=\"TRUE\"\
                IS_INSTRUCTION=\"TRUE\" MASTERBUSINTERFACE=\"$master\" MEMTYPE=\"REGISTER\"\
                SLAVEBUSINTERFACE=\"$interface\"/>"
            append modules [module $cell $vlnv PERIPHERAL $interface $range "$base $first $high $last"] \n
        }
        set processor [module ps $project(cell,ps) PROCESSOR $master 0 {}]
        set processor [string map [list </MODULE> "<MEMORYMAP>$ranges</MEMORYMAP><PERIPHERALS>\
            <PERIPHERAL INSTANCE=\"dma\"/><PERIPHERAL INSTANCE=\"accelerator\"/></PERIPHERALS></MODULE>"] \
            $processor]
        regexp {^xc([^-]*?)(clg\d+)?-} $project(part) whole device package
        write_file $file "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\" ?>\n<EDKSYSTEM\
            EDWVERSION=\"1.2\" TIMESTAMP=\"Thu Jan  1 00:00:00 1970\" VIVADOVERSION=\"$version\">\n\
            <SYSTEMINFO ARCH=\"$architecture\" DEVICE=\"$device\" NAME=\"system\" PACKAGE=\"$package\"\
            SPEEDGRADE=\"-1\"/>\n<EXTERNALPORTS/><EXTERNALINTERFACES/>\n<MODULES>\n$processor\n$modules</MODULES>\n</EDKSYSTEM>\n"
    }

    proc module {cell vlnv class interface range values} {
        variable project
        lassign [split $vlnv :] - - type number
        foreach key [lsort [array names project config,$cell,*]] {
            dict set values [lindex [split $key ,] 2] $project($key)
        }
        if {$type eq "processing_system7"} {
            foreach i {0 1 2 3} {
                dict set values PCW_FPGA_FCLK${i}_ENABLE [expr {$i == 0}]
                dict set values PCW_FCLK${i}_PERIPHERAL_CLKSRC "IO PLL"
                dict set values PCW_FCLK${i}_PERIPHERAL_DIVISOR0 [expr {$i ? 1 : 10}]
                dict set values PCW_FCLK${i}_PERIPHERAL_DIVISOR1 1
            }
            dict set values PCW_FCLK0_PERIPHERAL_DIVISOR0 \
                [expr {int(1000 / [dict get $values PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ])}]
        }
        if {$type eq "zynq_ultra_ps_e"} {
            foreach i {0 1 2 3} {
                dict set values PSU__FPGA_PL${i}_ENABLE [expr {$i == 0}]
                dict set values PSU__CRL_APB__PL${i}_REF_CTRL__DIVISOR0 \
                    [expr {int(1500 / [dict get $values PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ])}]
                dict set values PSU__CRL_APB__PL${i}_REF_CTRL__DIVISOR1 1
            }
        }
        set parameters ""
        dict for {name value} $values {
            append parameters "<PARAMETER NAME=\"$name\" VALUE=\"$value\"/>"
        }
        set blocks ""
        set busses "<BUSINTERFACE BUSNAME=\"ps_$interface\" DATAWIDTH=\"32\" NAME=\"$interface\"\
            TYPE=\"MASTER\" VLNV=\"xilinx.com:interface:aximm:1.0\"><PORTMAPS/></BUSINTERFACE>"
        if {$class eq "PERIPHERAL"} {
            set blocks "<ADDRESSBLOCK ACCESS=\"\" INTERFACE=\"$interface\" NAME=\"Reg\" RANGE=\"$range\"\
                USAGE=\"register\"/>"
            set busses "<BUSINTERFACE BUSNAME=\"control_$cell\" DATAWIDTH=\"32\" NAME=\"$interface\"\
                TYPE=\"SLAVE\" VLNV=\"xilinx.com:interface:aximm:1.0\"><PARAMETER NAME=\"PROTOCOL\"\
                VALUE=\"AXI4LITE\"/><PORTMAPS/></BUSINTERFACE>"
        }
        return "<MODULE COREREVISION=\"1\" FULLNAME=\"/$cell\" HWVERSION=\"$number\" INSTANCE=\"$cell\"\
            IPTYPE=\"PERIPHERAL\" IS_ENABLE=\"1\" MODCLASS=\"$class\" MODTYPE=\"$type\"\
            VLNV=\"$vlnv\"><DOCUMENTS/><ADDRESSBLOCKS>$blocks</ADDRESSBLOCKS><PARAMETERS>$parameters</PARAMETERS><PORTS/><BUSINTERFACES>$busses</BUSINTERFACES></MODULE>"
    }
}

vendor report_utilization {-hierarchical 0 -file 1} 0 0 {
    ::stub::report $option "Utilization Design Information" "report_utilization $option" [::stub::utilization]
}
vendor report_timing_summary {-max_paths 1 -file 1} 0 0 {
    ::stub::report $option "Timing Summary Report" "report_timing_summary $option" [::stub::timing_summary]
}
vendor report_power {-file 1} 0 0 {
    ::stub::report $option "Power Report" "report_power $option" [::stub::power]
}
vendor report_drc {-file 1} 0 0 {
    ::stub::report $option "Report DRC" "report_drc $option" "Checks found: 0\n"
}

vendor write_bitstream {-force 0} 1 1 {
    if {![info exists project(opened)] || $project(opened) ne "impl_1"} {
        ::stub::fail "Vivado 12-1" "The routed design is not open."
    }
    set part $project(part)
    regsub {^xc(7z\w+?)-\d$} $part {\1} part
    set data [string repeat \xff 4096]
    set channel [open [lindex $words 0] wb]
    ::stub::real_puts -nonewline $channel [binary format H* 00090ff00ff00ff00ff0000001]
    ::stub::real_puts -nonewline $channel \
        [::stub::name_field a "system_wrapper;UserID=0XFFFFFFFF;Version=$::stub::version"]
    foreach {letter text} [list b $part c 1970/01/01 d 00:00:00] {
        ::stub::real_puts -nonewline $channel [::stub::name_field $letter $text]
    }
    ::stub::real_puts -nonewline $channel e[binary format I [string length $data]]$data
    close $channel
    puts "Writing bitstream [lindex $words 0]..."
    return
}
