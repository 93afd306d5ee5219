# SPDX-License-Identifier: Apache-2.0
# The block design: processor, DMA, accelerator. One clock, one reset.
#
#   ps.control -> control -> dma, accelerator      registers
#   dma <-> memory <-> ps.memory                   frames
#   dma -> accelerator -> dma                      streams of beats

source common.tcl
source $settings::processor.tcl

# Names and values of a processor's settings as set_property takes them.
proc processor_settings {values} {
    set named {}
    foreach {name value} $values {
        lappend named CONFIG.$name $value
    }
    return $named
}

# Give registers their address.
proc assign_registers {interface address} {
    assign_bd_address -offset $address -range $settings::registers_size \
        -target_address_space [get_bd_addr_spaces ps/Data] [get_bd_addr_segs $interface/*] -force
}

# Files of boards that a user has put here, and those that came with Vivado.
set board_files {}
set candidates boards
if {[info exists env(XILINX_VIVADO)]} {
    foreach folder [list $env(XILINX_VIVADO) [file dirname $env(XILINX_VIVADO)]] {
        lappend candidates $folder/data/xhub/boards/XilinxBoardStore/boards
    }
}
foreach folder $candidates {
    if {[file isdirectory $folder]} {
        lappend board_files [file normalize $folder]
    }
}
if {[llength $board_files]} {
    set_param board.repoPaths $board_files
}
create_project -force -part $settings::part $project_name $project_folder
set board_part [lindex [get_board_parts -quiet -latest_file_version "$settings::board_part:*"] 0]
set has_board [expr {$board_part ne ""}]
if {$has_board} {
    set_property board_part $board_part [current_project]
} else {
    puts "WARNING: \[qdeploy board\] Vivado lacks the files of board $settings::board_part;\
        the processor gets the settings that qdeploy has of it"
}
set_property ip_repo_paths [file normalize ip] [current_project]
update_ip_catalog -rebuild

create_bd_design $block_design
set ps [create_processor $has_board]

create_bd_cell -type ip -vlnv [newest_core xilinx.com:ip:proc_sys_reset] reset
create_bd_cell -type ip -vlnv [newest_core $settings::vendor:$settings::library:$settings::top] \
    accelerator

# Simple mode. Buffers begin at beats, so that no realignment is needed.
create_bd_cell -type ip -vlnv [newest_core xilinx.com:ip:axi_dma] dma
set_property -dict [list \
    CONFIG.c_include_sg 0 \
    CONFIG.c_sg_include_stscntrl_strm 0 \
    CONFIG.c_sg_length_width 26 \
    CONFIG.c_addr_width [dict get $ps address_bits] \
    CONFIG.c_include_mm2s 1 \
    CONFIG.c_m_axi_mm2s_data_width $settings::beat_bits \
    CONFIG.c_m_axis_mm2s_tdata_width $settings::beat_bits \
    CONFIG.c_include_mm2s_dre 0 \
    CONFIG.c_mm2s_burst_size 16 \
    CONFIG.c_include_s2mm 1 \
    CONFIG.c_m_axi_s2mm_data_width $settings::beat_bits \
    CONFIG.c_s_axis_s2mm_tdata_width $settings::beat_bits \
    CONFIG.c_include_s2mm_dre 0 \
    CONFIG.c_s2mm_burst_size 16 \
] [get_bd_cells dma]

create_bd_cell -type ip -vlnv [newest_core xilinx.com:ip:smartconnect] control
set_property -dict {CONFIG.NUM_SI 1 CONFIG.NUM_MI 2 CONFIG.NUM_CLKS 1} [get_bd_cells control]
create_bd_cell -type ip -vlnv [newest_core xilinx.com:ip:smartconnect] memory
set_property -dict {CONFIG.NUM_SI 2 CONFIG.NUM_MI 1 CONFIG.NUM_CLKS 1} [get_bd_cells memory]

# Newer versions have the concatenation as inline HDL.
if {[llength [get_ipdefs -quiet xilinx.com:ip:xlconcat:*]]} {
    create_bd_cell -type ip -vlnv [newest_core xilinx.com:ip:xlconcat] interrupts
} else {
    create_bd_cell -type inline_hdl -vlnv [newest_core xilinx.com:inline_hdl:ilconcat] interrupts
}
set_property CONFIG.NUM_PORTS 2 [get_bd_cells interrupts]

foreach {from to} [list \
    [dict get $ps control] control/S00_AXI \
    control/M00_AXI dma/S_AXI_LITE \
    control/M01_AXI accelerator/s_axi \
    dma/M_AXI_MM2S memory/S00_AXI \
    dma/M_AXI_S2MM memory/S01_AXI \
    memory/M00_AXI [dict get $ps memory] \
    dma/M_AXIS_MM2S accelerator/s_axis \
    accelerator/m_axis dma/S_AXIS_S2MM \
] {
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}

set clock [get_bd_pins [dict get $ps clock]]
foreach pin [concat [dict get $ps port_clocks] {
    reset/slowest_sync_clk control/aclk memory/aclk accelerator/aclk
    dma/s_axi_lite_aclk dma/m_axi_mm2s_aclk dma/m_axi_s2mm_aclk
}] {
    connect_bd_net $clock [get_bd_pins $pin]
}
connect_bd_net [get_bd_pins [dict get $ps reset]] [get_bd_pins reset/ext_reset_in]
foreach {source sinks} {
    reset/interconnect_aresetn {control/aresetn memory/aresetn}
    reset/peripheral_aresetn {accelerator/aresetn dma/axi_resetn}
} {
    foreach sink $sinks {
        connect_bd_net [get_bd_pins $source] [get_bd_pins $sink]
    }
}
connect_bd_net [get_bd_pins dma/mm2s_introut] [get_bd_pins interrupts/In0]
connect_bd_net [get_bd_pins dma/s2mm_introut] [get_bd_pins interrupts/In1]
connect_bd_net [get_bd_pins interrupts/dout] [get_bd_pins [dict get $ps interrupts]]

assign_registers dma/S_AXI_LITE $settings::dma_address
assign_registers accelerator/s_axi $settings::accelerator_address
foreach space {dma/Data_MM2S dma/Data_S2MM} {
    set assigned {}
    foreach {base size} $settings::memory {
        set name [dict get $ps [expr {$base < 0x100000000 ? "low" : "high"}]]
        set segment [get_bd_addr_segs -quiet [dict get $ps segments]/$name]
        if {[llength $segment] == 0} {
            puts "WARNING: \[qdeploy memory\] the DMA does not reach memory from $base on"
            continue
        }
        assign_bd_address -offset $base -range $size \
            -target_address_space [get_bd_addr_spaces $space] $segment -force
        lappend assigned $name
    }
    foreach segment [get_bd_addr_segs -quiet [dict get $ps segments]/*] {
        if {[file tail $segment] ni $assigned} {
            # Vivado refuses to exclude what this space could not have.
            if {[catch {
                exclude_bd_addr_seg -target_address_space [get_bd_addr_spaces $space] $segment
            } message]} {
                puts $message
            }
        }
    }
}

validate_bd_design
save_bd_design
set actual [get_property [dict get $ps actual_mhz] [get_bd_cells ps]]
puts "QDEPLOY-CLOCK-MHZ $actual"
if {abs($actual - $settings::clock_mhz) > 0.01 * $settings::clock_mhz} {
    puts "WARNING: \[qdeploy clock\] the processor makes $actual MHz of $settings::clock_mhz MHz;\
        write that into clock_mhz of the board's file"
}

# One synthesis of everything: names of instances stay, and there is one log.
set design_file [get_files $block_design.bd]
set_property synth_checkpoint_mode None $design_file
generate_target all $design_file
add_files -norecurse [make_wrapper -files $design_file -top]
set_property top ${block_design}_wrapper [current_fileset]
update_compile_order -fileset sources_1
close_project
phase_done design
