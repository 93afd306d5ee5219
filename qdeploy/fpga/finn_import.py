# SPDX-License-Identifier: Apache-2.0
"""All that qdeploy uses of finn-plus, with our operators registered in place of FINN's.

FINN as a library needs neither Vivado nor its settings file as long as nobody asks it to create
build folders or to simulate with XSI; nothing here does, so nothing is left on the disk either.
"""

from __future__ import annotations

import logging

from qdeploy.errors import ToolError

try:
    from finn.analysis.fpgadataflow.dataflow_performance import dataflow_performance
    from finn.core.onnx_exec import execute_onnx
    from finn.custom_op.fpgadataflow.rtl import custom_op as rtl_operators
    from finn.transformation.fpgadataflow.annotate_cycles import AnnotateCycles
    from finn.transformation.fpgadataflow.convert_to_hw.label_select import InferLabelSelectLayer
    from finn.transformation.fpgadataflow.convert_to_hw.quantized_matrix_vector_activation import (
        InferQuantizedMatrixVectorActivation,
    )
    from finn.transformation.fpgadataflow.convert_to_hw.thresholding import InferThresholdingLayer
    from finn.transformation.fpgadataflow.insert_dwc import InsertDWC
    from finn.transformation.fpgadataflow.insert_fifo import InsertFIFO
    from finn.transformation.fpgadataflow.set_folding import SetFolding
except ImportError as error:
    raise ToolError(
        "finn-plus",
        f"cannot be imported: {error}",
        remedy="run 'make setup', or install the extra 'fpga' from requirements.lock",
    ) from error

from qdeploy.fpga.operators import OPERATORS

__all__ = [
    "AnnotateCycles",
    "InferLabelSelectLayer",
    "InferQuantizedMatrixVectorActivation",
    "InferThresholdingLayer",
    "InsertDWC",
    "InsertFIFO",
    "SetFolding",
    "dataflow_performance",
    "execute_onnx",
    "rtl_operators",
]

# FINN warns about every folding choice that is not the fastest; qdeploy reports what it decided.
logging.getLogger("finn_logger").setLevel(logging.ERROR)
rtl_operators.update(OPERATORS)
