# SPDX-License-Identifier: Apache-2.0
# Runs inside the synthesis run, in its folder: $readmemh finds the contents of memories there.

foreach file [glob -nocomplain [file join [file dirname [info script]] ip src *.mem]] {
    file copy -force $file .
}
