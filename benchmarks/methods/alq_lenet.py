# SPDX-License-Identifier: Apache-2.0
"""LeNet-5 on MNIST with less than half a bit per weight, by ALQ (Qu et al., CVPR 2020).

    python benchmarks/methods/alq_lenet.py --json results.json    half an hour on a core
    python benchmarks/methods/alq_lenet.py --quick                two minutes

The build file is models/mnist-alq.toml, all 60,000 images: activations of 2 bits, inputs of 8. It
is trained in the build folder of `benchmarks/zoo.py mnist-alq`, which takes the result. Then the
same with float activations and inputs, as in the paper: 0.40 bits per weight, 99.1 %. Average bits
count the codes of the bases that are left; "with scales" adds 8 for each of their scales. Test
accuracy of the last epoch, minutes of one processor (none where the result was there).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from rows import Row, Rows  # noqa: E402

from qdeploy.build_stages import train_stage  # noqa: E402
from qdeploy.config import BuildConfig, load_config  # noqa: E402
from qdeploy.quantizers.alq.quantizer import AlqQuantizer  # noqa: E402
from qdeploy.quantizers.bits import quantized_layers  # noqa: E402
from qdeploy.stages import StageStore  # noqa: E402
from qdeploy.training import checkpoint, load_training_result  # noqa: E402
from qdeploy.zoo import models_folder  # noqa: E402

RECIPE = "mnist-alq.toml"
ACTIVATIONS: dict[str, dict[str, Any]] = {
    "2 bits": {},
    "float": {"activations": None, "input_bits": None},
}
QUICK_SAMPLES = 2000


def measure(config: BuildConfig, activations: str) -> Row:
    """Train one network."""
    quantization = config.quantization.model_copy(update=ACTIVATIONS[activations])
    config = config.model_copy(update={"quantization": quantization})
    started = time.process_time()
    folder = StageStore(ROOT / "build" / "zoo" / config.name).run(train_stage(config)).directory
    result = load_training_result(folder)
    record = json.loads((folder / "training.json").read_text())
    network = checkpoint.load(result.checkpoint)
    layers, scale_bits, weights = {}, 0, 0
    for name, layer, quantizer in quantized_layers(network):
        assert isinstance(quantizer, AlqQuantizer)
        layers[name] = quantizer.code_bits(layer.weight) / layer.weight.numel()
        scale_bits += quantizer.scale_bits * int((quantizer.scales > 0).sum())
        weights += layer.weight.numel()
    assert result.average_bits is not None
    return {
        "float": result.float_accuracy,
        "accuracy": result.accuracy,
        "bits": result.average_bits,
        "bits_with_scales": result.average_bits + scale_bits / weights,
        "bits_of_layers": layers,
        "epochs": record["quantized"]["epochs"],
        "minutes": (time.process_time() - started) / 60,
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="LeNet-5 on MNIST by ALQ.")
    parser.add_argument("--quick", action="store_true", help="two minutes")
    parser.add_argument("--json", type=Path, help="file of results; rows in it are not run again")
    arguments = parser.parse_args()
    config = load_config(models_folder() / RECIPE)
    if arguments.quick:
        data = config.data.model_copy(update={"samples": QUICK_SAMPLES})
        config = config.model_copy(update={"data": data})
    rows = Rows(arguments.json, config.model_dump(mode="json"))
    print(
        f"{'activations':12}{'float %':>9}{'ALQ %':>8}{'bits':>7}{'with scales':>13}{'minutes':>9}"
    )
    for activations in ACTIVATIONS:
        row = rows.measure(activations, partial(measure, config, activations))
        print(
            f"{activations:12}{100 * row['float']:9.2f}{100 * row['accuracy']:8.2f}"
            f"{row['bits']:7.3f}{row['bits_with_scales']:13.3f}{row['minutes']:9.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
