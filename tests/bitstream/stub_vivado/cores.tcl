# SPDX-License-Identifier: Apache-2.0
# What the modelled IP cores look like from outside, depending on their settings.

namespace eval stub {
    # Version by core; 2025.1 and later have the concatenation as inline HDL only (pretended).
    variable cores {
        xilinx.com:ip:processing_system7 5.5
        xilinx.com:ip:zynq_ultra_ps_e 3.5
        xilinx.com:ip:axi_dma 7.1
        xilinx.com:ip:smartconnect 1.0
        xilinx.com:ip:proc_sys_reset 5.0
        xilinx.com:ip:xlconcat 2.1
        xilinx.com:inline_hdl:ilconcat 1.0
    }
    # Settings with their defaults; those that switch ports on are off, or on where a board may.
    variable settings {
        processing_system7 {
            PCW_USE_M_AXI_GP0 1 PCW_USE_M_AXI_GP1 0 PCW_USE_S_AXI_HP0 0 PCW_S_AXI_HP0_DATA_WIDTH 64
            PCW_USE_FABRIC_INTERRUPT 0 PCW_IRQ_F2P_INTR 0 PCW_EN_CLK0_PORT 0 PCW_EN_RST0_PORT 0
            PCW_FPGA0_PERIPHERAL_FREQMHZ 50 PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ 50
            PCW_CRYSTAL_PERIPHERAL_FREQMHZ 33.333333 PCW_APU_PERIPHERAL_FREQMHZ 666.666
            PCW_UIPARAM_DDR_FREQ_MHZ 533.333 PCW_UIPARAM_DDR_BUS_WIDTH {32 Bit}
            PCW_UIPARAM_DDR_PARTNO {MT41J128M8 JP-125} apply_board_preset 0
        }
        zynq_ultra_ps_e {
            PSU__USE__M_AXI_GP0 1 PSU__MAXIGP0__DATA_WIDTH 128 PSU__USE__M_AXI_GP1 1
            PSU__USE__M_AXI_GP2 1 PSU__USE__S_AXI_GP2 0 PSU__SAXIGP2__DATA_WIDTH 128
            PSU__USE__IRQ0 0 PSU__FPGA_PL0_ENABLE 0 PSU__NUM_FABRIC_RESETS 1
            PSU__OVERRIDE__BASIC_CLOCK 1 PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ 50
            PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ 50 PSU__CRL_APB__PL0_REF_CTRL__SRCSEL IOPLL
            PSU__PSS_REF_CLK__FREQMHZ 33.333 PSU__DDRC__BUS_WIDTH {64 Bit}
            PSU__DDRC__DRAM_WIDTH {8 Bits} PSU__DDRC__DEVICE_CAPACITY {2048 MBits}
            PSU__DDRC__ROW_ADDR_COUNT 15 apply_board_preset 0
        }
        axi_dma {
            c_include_sg 1 c_sg_include_stscntrl_strm 1 c_sg_length_width 14 c_addr_width 32
            c_include_mm2s 1 c_m_axi_mm2s_data_width 32 c_m_axis_mm2s_tdata_width 32
            c_include_mm2s_dre 0 c_mm2s_burst_size 16 c_include_s2mm 1 c_m_axi_s2mm_data_width 32
            c_s_axis_s2mm_tdata_width 32 c_include_s2mm_dre 0 c_s2mm_burst_size 16
        }
        smartconnect {NUM_SI 1 NUM_MI 1 NUM_CLKS 1}
        proc_sys_reset {}
        xlconcat {NUM_PORTS 2}
        ilconcat {NUM_PORTS 2}
    }

    proc has_core {core} {
        variable cores
        variable version
        if {$core eq "xilinx.com:ip:xlconcat" && $version >= 2025} {
            return 0
        }
        return [dict exists $cores $core]
    }

    # All cores of the catalogue, with their versions.
    proc catalogue {} {
        variable cores
        variable project
        set found {}
        dict for {core number} $cores {
            if {[has_core $core]} {
                lappend found $core:$number
            }
        }
        foreach core [array names project packaged,*] {
            lappend found [string range $core 9 end]
        }
        return $found
    }

    # Interfaces and pins of a cell: {name mode kind ...}, {name direction kind ...}.
    proc outside {cell} {
        variable project
        set type [lindex [split $project(cell,$cell) :] 2]
        foreach name [array names project config,$cell,*] {
            set [lindex [split $name ,] 2] $project($name)
        }
        set interfaces {}
        set pins {}
        switch $type {
            processing_system7 {
                set pins {DDR_Clk IO other}
                foreach {is name mode} [list $PCW_USE_M_AXI_GP0 M_AXI_GP0 Master \
                    $PCW_USE_M_AXI_GP1 M_AXI_GP1 Master $PCW_USE_S_AXI_HP0 S_AXI_HP0 Slave] {
                    if {$is} {
                        lappend interfaces $name $mode aximm
                        lappend pins ${name}_ACLK I clk
                    }
                }
                if {$PCW_EN_CLK0_PORT} {lappend pins FCLK_CLK0 O clk}
                if {$PCW_EN_RST0_PORT} {lappend pins FCLK_RESET0_N O rst}
                if {$PCW_USE_FABRIC_INTERRUPT && $PCW_IRQ_F2P_INTR} {lappend pins IRQ_F2P I intr}
            }
            zynq_ultra_ps_e {
                foreach {is name mode clock} [list \
                    $PSU__USE__M_AXI_GP0 M_AXI_HPM0_FPD Master maxihpm0_fpd_aclk \
                    $PSU__USE__M_AXI_GP1 M_AXI_HPM1_FPD Master maxihpm1_fpd_aclk \
                    $PSU__USE__M_AXI_GP2 M_AXI_HPM0_LPD Master maxihpm0_lpd_aclk \
                    $PSU__USE__S_AXI_GP2 S_AXI_HP0_FPD Slave saxihp0_fpd_aclk] {
                    if {$is} {
                        lappend interfaces $name $mode aximm
                        lappend pins $clock I clk
                    }
                }
                if {$PSU__FPGA_PL0_ENABLE} {lappend pins pl_clk0 O clk}
                if {$PSU__NUM_FABRIC_RESETS} {lappend pins pl_resetn0 O rst}
                if {$PSU__USE__IRQ0} {lappend pins pl_ps_irq0 I intr}
            }
            axi_dma {
                lappend interfaces S_AXI_LITE Slave aximm
                lappend pins s_axi_lite_aclk I clk axi_resetn I rst
                if {$c_include_mm2s} {
                    lappend interfaces M_AXI_MM2S Master aximm M_AXIS_MM2S Master axis
                    lappend pins m_axi_mm2s_aclk I clk mm2s_introut O intr
                    lappend pins mm2s_prmry_reset_out_n O other
                }
                if {$c_include_s2mm} {
                    lappend interfaces M_AXI_S2MM Master aximm S_AXIS_S2MM Slave axis
                    lappend pins m_axi_s2mm_aclk I clk s2mm_introut O intr
                    lappend pins s2mm_prmry_reset_out_n O other
                }
                if {$c_include_sg} {
                    lappend interfaces M_AXI_SG Master aximm
                    lappend pins m_axi_sg_aclk I clk
                    if {$c_sg_include_stscntrl_strm} {
                        lappend interfaces M_AXIS_CNTRL Master axis S_AXIS_STS Slave axis
                    }
                }
            }
            smartconnect {
                for {set i 0} {$i < $NUM_SI} {incr i} {
                    lappend interfaces [format S%02d_AXI $i] Slave aximm
                }
                for {set i 0} {$i < $NUM_MI} {incr i} {
                    lappend interfaces [format M%02d_AXI $i] Master aximm
                }
                lappend pins aclk I clk aresetn I rst
            }
            proc_sys_reset {
                lappend pins slowest_sync_clk I clk ext_reset_in I rst aux_reset_in I other \
                    mb_debug_sys_rst I other dcm_locked I other mb_reset O rst \
                    bus_struct_reset O rst peripheral_reset O rst interconnect_aresetn O rst \
                    peripheral_aresetn O rst
            }
            xlconcat - ilconcat {
                for {set i 0} {$i < $NUM_PORTS} {incr i} {
                    lappend pins In$i I intr
                }
                lappend pins dout O intr
            }
            default {
                lassign $project(packaged,$project(cell,$cell)) interfaces pins
            }
        }
        return [list $interfaces $pins]
    }
}
