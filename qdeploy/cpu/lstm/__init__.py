# SPDX-License-Identifier: Apache-2.0
"""Layers of long short-term memory as generated kernels, and the session that runs them."""
