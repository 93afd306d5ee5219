# SPDX-License-Identifier: Apache-2.0
"""How fast a packed model runs here, next to ONNX Runtime's own float32 and int8 versions of it."""

from qdeploy.cpu.measurement.contents import Measurement
from qdeploy.cpu.measurement.measure import measure

__all__ = ["Measurement", "measure"]
