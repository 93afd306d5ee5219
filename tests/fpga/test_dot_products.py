# SPDX-License-Identifier: Apache-2.0
"""The structure in LUTs and carry chains adds up what the formulas say, for every kind and shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.fpga.compressors.dot_products import Kind, Shape, _row, word_sums
