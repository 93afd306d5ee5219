# SPDX-License-Identifier: Apache-2.0
# The accelerator with its shell as an IP core, in the folder ip.

source common.tcl

create_project -force -part $settings::part package packaging
add_files -norecurse [concat $settings::sources $settings::memories]
set_property top $settings::top [current_fileset]
update_compile_order -fileset sources_1

ipx::package_project -force -root_dir ip -vendor $settings::vendor -library $settings::library \
    -taxonomy /UserIP
set core [ipx::current_core]
set_property name $settings::top $core
set_property version $settings::core_version $core
set_property display_name "$settings::name, accelerator of qdeploy" $core
set_property description "Build $settings::build" $core
# The processor makes its clock of whole divisors; 99.999 MHz is no mistake.
set_property ipi_drc {ignore_freq_hz true} $core

# Interfaces are inferred from the names of ports; here they are asked for where they were not.
foreach {name kind} {
    s_axi xilinx.com:interface:aximm_rtl:1.0
    s_axis xilinx.com:interface:axis_rtl:1.0
    m_axis xilinx.com:interface:axis_rtl:1.0
    aclk xilinx.com:signal:clock_rtl:1.0
    aresetn xilinx.com:signal:reset_rtl:1.0
} {
    if {[llength [ipx::get_bus_interfaces -quiet $name -of_objects $core]] == 0} {
        ipx::infer_bus_interfaces $kind $core
    }
    if {[llength [ipx::get_bus_interfaces -quiet $name -of_objects $core]] == 0} {
        fail interface "Vivado does not see the interface $name of $settings::top"
    }
}
foreach name {s_axi s_axis m_axis} {
    ipx::associate_bus_interfaces -busif $name -clock aclk $core
}
ipx::associate_bus_interfaces -clock aclk -reset aresetn $core
set reset [ipx::get_bus_interfaces aresetn -of_objects $core]
if {[llength [ipx::get_bus_parameters -quiet POLARITY -of_objects $reset]] == 0} {
    ipx::add_bus_parameter POLARITY $reset
}
set_property value ACTIVE_LOW [ipx::get_bus_parameters POLARITY -of_objects $reset]

# The registers, whatever Vivado took the address width for.
foreach map [ipx::get_memory_maps -of_objects $core] {
    ipx::remove_memory_map [get_property NAME $map] $core
}
set block [ipx::add_address_block reg0 [ipx::add_memory_map s_axi $core]]
set_property range $settings::registers_size $block
set_property width 32 $block
set_property usage register $block
set_property slave_memory_map_ref s_axi [ipx::get_bus_interfaces s_axi -of_objects $core]

ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::save_core $core
close_project
phase_done package
