# SPDX-License-Identifier: Apache-2.0
"""The fast form: an integer network as a program of generated kernels over packed buffers."""
