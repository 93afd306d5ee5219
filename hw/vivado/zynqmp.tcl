# SPDX-License-Identifier: Apache-2.0
# The processor of a Zynq UltraScale+: port HPM0_FPD for registers, HP0_FPD to memory. Both are 128
# bits wide, as they are after a reset: whoever loads the bitstream need not set their widths.

# Create the cell ps. With a board part Vivado takes the settings of the board.
#   returns where its pins and address segments are
proc create_processor {has_board} {
    create_bd_cell -type ip -vlnv [newest_core xilinx.com:ip:zynq_ultra_ps_e] ps
    if {$has_board} {
        apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e \
            -config {apply_board_preset 1} [get_bd_cells ps]
    } else {
        set_property -dict [processor_settings $settings::preset] [get_bd_cells ps]
    }
    # Ports that boards switch on want a clock. GP0, GP1 and GP2 of the masters are HPM0_FPD,
    # HPM1_FPD and HPM0_LPD; GP2 of the slaves is HP0_FPD.
    set_property -dict [processor_settings [list \
        PSU__USE__M_AXI_GP0 1 \
        PSU__MAXIGP0__DATA_WIDTH 128 \
        PSU__USE__M_AXI_GP1 0 \
        PSU__USE__M_AXI_GP2 0 \
        PSU__USE__S_AXI_GP2 1 \
        PSU__SAXIGP2__DATA_WIDTH 128 \
        PSU__USE__IRQ0 1 \
        PSU__FPGA_PL0_ENABLE 1 \
        PSU__NUM_FABRIC_RESETS 1 \
        PSU__OVERRIDE__BASIC_CLOCK 0 \
    ]] [get_bd_cells ps]
    set_property -dict [processor_settings [list \
        PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ $settings::clock_mhz \
    ]] [get_bd_cells ps]
    return {
        clock ps/pl_clk0
        actual_mhz CONFIG.PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ
        reset ps/pl_resetn0
        interrupts ps/pl_ps_irq0
        control ps/M_AXI_HPM0_FPD
        memory ps/S_AXI_HP0_FPD
        port_clocks {ps/maxihpm0_fpd_aclk ps/saxihp0_fpd_aclk}
        segments ps/SAXIGP2
        low HP0_DDR_LOW
        high HP0_DDR_HIGH
        address_bits 40
    }
}
