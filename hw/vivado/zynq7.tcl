# SPDX-License-Identifier: Apache-2.0
# The processor of a Zynq-7000: port GP0 for registers, HP0 (64 bits) to memory.

# Create the cell ps. With a board part Vivado takes the settings of the board.
#   returns where its pins and address segments are
proc create_processor {has_board} {
    create_bd_cell -type ip -vlnv [newest_core xilinx.com:ip:processing_system7] ps
    apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 -config [list \
        make_external "FIXED_IO, DDR" apply_board_preset $has_board Master Disable Slave Disable \
    ] [get_bd_cells ps]
    if {!$has_board} {
        set_property -dict [processor_settings $settings::preset] [get_bd_cells ps]
    }
    set_property -dict [processor_settings [list \
        PCW_USE_M_AXI_GP0 1 \
        PCW_USE_M_AXI_GP1 0 \
        PCW_USE_S_AXI_HP0 1 \
        PCW_S_AXI_HP0_DATA_WIDTH 64 \
        PCW_USE_FABRIC_INTERRUPT 1 \
        PCW_IRQ_F2P_INTR 1 \
        PCW_EN_CLK0_PORT 1 \
        PCW_EN_RST0_PORT 1 \
        PCW_FPGA0_PERIPHERAL_FREQMHZ $settings::clock_mhz \
    ]] [get_bd_cells ps]
    return {
        clock ps/FCLK_CLK0
        actual_mhz CONFIG.PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ
        reset ps/FCLK_RESET0_N
        interrupts ps/IRQ_F2P
        control ps/M_AXI_GP0
        memory ps/S_AXI_HP0
        port_clocks {ps/M_AXI_GP0_ACLK ps/S_AXI_HP0_ACLK}
        segments ps/S_AXI_HP0
        low HP0_DDR_LOWOCM
        high {}
        address_bits 32
    }
}
