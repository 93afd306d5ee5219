# SPDX-License-Identifier: Apache-2.0
"""The phases of each method."""

from __future__ import annotations

from functools import partial

from qdeploy.quantizers.config import QuantizationConfig
from qdeploy.training.config import TrainingConfig
from qdeploy.training.phases import Phase, adam


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


def phases(quantization: QuantizationConfig, training: TrainingConfig) -> tuple[Phase, ...]:
    """Phases of the quantized network."""
    return (
        Phase(
            name=quantization.method,
            epochs=training.epochs,
            optimizer=partial(adam, learning_rate=training.learning_rate),
            augmented=training.augmentation == "both",
        ),
    )
