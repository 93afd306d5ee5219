# SPDX-License-Identifier: Apache-2.0
"""What computes each layer on the CPU."""

from __future__ import annotations

from qdeploy.cpu.kernel_choice import kernel_choice
from qdeploy.explanation.contents import Explanation
from qdeploy.integer import IntegerNetwork


def with_kernels(
    explanation: Explanation, network: IntegerNetwork, target: str | None
) -> Explanation:
    """The explanation of `network` with its kernels on a kind of processor.

    Raises:
        UserError: if there is no such target.
    """
    choice = kernel_choice(network, target)
    layers = tuple(
        layer.model_copy(
            update={
                "operators": tuple(
                    operator.model_copy(update={"cpu": choice.layers.get(operator.name)})
                    for operator in layer.operators
                )
            }
        )
        for layer in explanation.layers
    )
    return explanation.model_copy(update={"layers": layers, "cpu": choice.form})
