# SPDX-License-Identifier: Apache-2.0
"""RTL variants of FINN's hardware operators, under FINN's names. Import through `finn_import`.

Each is FINN's generic operator (shapes, folding, execution in Python) with Verilog of ours.
"""

from qdeploy.fpga.operators.arg_max import ArgMax
from qdeploy.fpga.operators.depthwise_unit import DepthwiseUnit
from qdeploy.fpga.operators.fifo import Fifo
from qdeploy.fpga.operators.matrix_vector_unit import MatrixVectorUnit
from qdeploy.fpga.operators.padding import Padding
from qdeploy.fpga.operators.pool import FrameSum, WindowPool
from qdeploy.fpga.operators.sliding_window import SlidingWindow
from qdeploy.fpga.operators.streams import Concat, Fork, WeightedAdd
from qdeploy.fpga.operators.threshold import Threshold
from qdeploy.fpga.operators.upsample import Upsample
from qdeploy.fpga.operators.width_converter import WidthConverter

OPERATORS = {
    "ConvolutionInputGenerator_rtl": SlidingWindow,
    "DuplicateStreams_rtl": Fork,
    "FMPadding_rtl": Padding,
    "GlobalAccPool_rtl": FrameSum,
    "LabelSelect_rtl": ArgMax,
    "MVAU_rtl": MatrixVectorUnit,
    "Pool_rtl": WindowPool,
    "StreamingConcat_rtl": Concat,
    "StreamingDataWidthConverter_rtl": WidthConverter,
    "StreamingFIFO_rtl": Fifo,
    "Thresholding_rtl": Threshold,
    "UpsampleNearestNeighbour_rtl": Upsample,
    "VVAU_rtl": DepthwiseUnit,
    "WeightedAdd_rtl": WeightedAdd,
}

__all__ = ["OPERATORS"]
