# SPDX-License-Identifier: Apache-2.0
"""FINN's node-by-node execution against the integer reference, tensor by tensor."""

from __future__ import annotations

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from qdeploy.errors import InternalError
from qdeploy.fpga.finn_import import execute_onnx
from qdeploy.fpga.graph import channels_last
from qdeploy.fpga.images import as_images
from qdeploy.fpga.unit_steps import unit_steps
from qdeploy.integer import IntegerNetwork, Integers, run_codes


def verify_nodes(model: ModelWrapper, network: IntegerNetwork, codes: Integers) -> None:
    """Check that `model` (mapped, folded or both) computes what `network` means.

    Args:
        model: result of `map_network` or `fold`.
        network: the integer network it was made from.
        codes: integer inputs [N, C, H, W] or [N, C].

    Raises:
        InternalError: at the first tensor that differs, naming layer, position and both values.
    """
    original = run_codes(network, codes)[network.output]
    rewritten = unit_steps(as_images(network))
    codes = codes.reshape(len(codes), *rewritten.input_tensor.shape)
    reference = run_codes(rewritten, codes)
    same = reference[rewritten.output].reshape(original.shape)
    _compare(network.name, network.output, original, same)
    for index in range(len(codes)):
        stimulus = channels_last(codes[index : index + 1]).astype(np.float32)
        found = execute_onnx(model, {network.input: stimulus}, return_full_exec_context=True)
        for node in rewritten.nodes:
            if node.output not in found:  # a flattening that became wires
                continue
            expected = channels_last(reference[node.output][index : index + 1])
            _compare(node.name, node.output, expected, found[node.output].reshape(expected.shape))


def _compare(layer: str, tensor: str, expected: Integers, found: np.ndarray) -> None:
    if not np.array_equal(expected, found):
        position = tuple(int(i) for i in np.argwhere(expected != found)[0])
        raise InternalError(
            f"layer '{layer}': tensor {tensor} at {position} (channels last): expected "
            f"{expected[position]}, found {found[position]}"
        )
