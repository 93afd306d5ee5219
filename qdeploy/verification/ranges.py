# SPDX-License-Identifier: Apache-2.0
"""The integer reference on all samples, and how far each tensor fills its promised range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qdeploy.integer import IntegerNetwork, Integers, ValueRange, run_codes
from qdeploy.verification.contents import Extremes

# Samples that the reference holds in memory at once, with all their tensors.
BATCH = 16


def observe(network: IntegerNetwork, x: NDArray[np.float32]) -> tuple[Integers, list[Extremes]]:
    """Outputs of the reference int64 [N, ...], and promised beside observed ranges.

    Raises:
        InternalError: if a tensor leaves its promised range.
    """
    layers = {network.input: ("input", "Input")}
    layers |= {node.output: (node.name, node.kind) for node in network.nodes}
    seen: dict[str, ValueRange] = {}
    outputs = []
    for start in range(0, len(x), BATCH):
        codes = network.quantizer.quantize(network.check_input(x[start : start + BATCH]))
        values = run_codes(network, codes)
        outputs.append(values[network.output])
        for name, array in values.items():
            known = seen.get(name, ValueRange(int(array.min()), int(array.min())))
            seen[name] = known.including(int(array.min())).including(int(array.max()))
    return np.concatenate(outputs), [
        Extremes(
            layer=layer,
            kind=kind,
            low=network.tensors[name].range.low,
            high=network.tensors[name].range.high,
            bits=network.tensors[name].range.bits,
            observed_low=seen[name].low,
            observed_high=seen[name].high,
            observed_bits=seen[name].bits,
        )
        for name, (layer, kind) in layers.items()
    ]
