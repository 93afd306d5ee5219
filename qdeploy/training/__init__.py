# SPDX-License-Identifier: Apache-2.0
"""Training: data sets, loop, checkpoints, predictions of trained networks.

The names are looked up on first use, so that `qdeploy.training.config` does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdeploy.training.evaluation import predict
    from qdeploy.training.loop import TrainingResult, load_training_result, train

__all__ = ["TrainingResult", "load_training_result", "predict", "train"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "evaluation" if name == "predict" else "loop"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
