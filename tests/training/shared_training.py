# SPDX-License-Identifier: Apache-2.0
"""One of several processes that train together: every method in turn, each into its own folder.

RANK=0 WORLD_SIZE=2 MASTER_ADDR=... MASTER_PORT=... python shared_training.py FOLDER
"""

import os
import sys
from pathlib import Path

from qdeploy.networks.config import NetworkConfig
from qdeploy.quantizers.config import quantization_config
from qdeploy.training import train
from qdeploy.training.config import DataConfig, TrainingConfig

METHODS = {
    "syq": {},
    "laq": {"weights": "ternary"},
    "retraining": {"rounds": 1},
    "alq": {"bits": 2, "rounds": 1},
    "fractional-bits": {"budget": "bits", "amount": 4.0},
}


def main() -> None:
    for method, options in METHODS.items():
        folder = Path(sys.argv[1]) / f"{method}-{os.environ['RANK']}"
        folder.mkdir()
        train(
            DataConfig(samples=128),
            NetworkConfig(channels=(2, 3)),
            quantization_config(method=method, **options),
            TrainingConfig(float_epochs=1, epochs=4, batch_size=64),
            folder,
        )


if __name__ == "__main__":
    main()
