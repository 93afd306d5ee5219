# SPDX-License-Identifier: Apache-2.0
"""The phases of each method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.optim import Optimizer

from qdeploy.quantizers.config import (
    AlqConfig,
    FractionalBitsConfig,
    QuantizationConfig,
    RetrainingConfig,
)
from qdeploy.quantizers.loss_aware.optimizer import LossAwareAdam
from qdeploy.training.alq import alq_phases
from qdeploy.training.config import TrainingConfig
from qdeploy.training.fractional_bits import fractional_bits_phases
from qdeploy.training.phases import Phase, adam
from qdeploy.training.retraining import retraining_phases


def float_phases(training: TrainingConfig) -> tuple[Phase, ...]:
    """Phases of the float network."""
    return (
        Phase(
            name="float",
            epochs=training.float_epochs,
            optimizer=partial(adam, learning_rate=training.learning_rate),
            augmented=training.augmentation != "none",
        ),
    )


def phases(
    quantization: QuantizationConfig, training: TrainingConfig, example: Tensor
) -> tuple[Phase, ...]:
    """Phases of the quantized network, which takes inputs as `example` [1, ...]."""
    if isinstance(quantization, RetrainingConfig):
        return retraining_phases(quantization, training)
    if isinstance(quantization, AlqConfig):
        return alq_phases(quantization, training)
    if isinstance(quantization, FractionalBitsConfig):
        return fractional_bits_phases(quantization, training, example)
    return (
        Phase(
            name=quantization.method,
            epochs=training.epochs,
            optimizer=_optimizer(quantization, training.learning_rate),
            augmented=training.augmentation == "both",
        ),
    )


def _optimizer(
    quantization: QuantizationConfig, learning_rate: float
) -> Callable[[nn.Module], Optimizer]:
    if quantization.method == "laq":
        return partial(LossAwareAdam, lr=learning_rate)
    return partial(adam, learning_rate=learning_rate)
