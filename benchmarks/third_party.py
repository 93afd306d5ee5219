# SPDX-License-Identifier: Apache-2.0
"""Models that others trained: accuracy published and of the integers, lowering time, comparisons.

Needs the data sets and models: QDEPLOY_DATA names the data folder, `models` lies beside it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qdeploy.integer import IntegerNetwork, run
from qdeploy.lowering import lower
from qdeploy.verification.targets import verify_file
from qdeploy.verification.wording import SUMS

Labelled = tuple[NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True)
class Model:
    """A file, what its authors say of it, and the data they say it of."""

    file: str
    published: float
    of: str
    data: Callable[[Path], Labelled]


def mnist(data: Path) -> Labelled:
    """10,000 test images in 0..1 and their digits."""
    arrays = []
    for name in ("images-idx3", "labels-idx1"):
        raw = gzip.decompress((data / "mnist" / f"t10k-{name}-ubyte.gz").read_bytes())
        shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
        arrays.append(np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape))
    images = arrays[0][:, np.newaxis].astype(np.float32) / np.float32(255)
    return images, arrays[1].astype(np.int64)


def keywords(data: Path) -> Labelled:
    """1,000 keyword clips of MLPerf Tiny, as features of the authors' front end."""
    with np.load(data / "kws_mlperftiny" / "kws_finn_w3a3_features_int8.npz") as archive:
        x = archive["x"].reshape(-1, 1, 10, 49) * np.float32(0.33674246)
        return x.astype(np.float32), archive["y"].astype(np.int64)


def intrusion(data: Path) -> Labelled:
    """The authors' one sample; its class is 0 (output -1)."""
    models = data.parent / "models"
    x = np.load(models / "unsw_nb15_input.npy", allow_pickle=False)
    return x, (np.load(models / "unsw_nb15_output.npy", allow_pickle=False).ravel() + 1) // 2


# Samples of each model that are compared.
MOST_SAMPLES = 1000
COMPARISONS = (
    "\n| model | float32 samples | differ | float32 proven wrong | exact samples, all equal "
    "| equal back ends | widest slack, bits |"
)

MODELS = (
    Model("tfc_1w1a", 0.9296, "10,000 MNIST test images", mnist),
    Model("tfc_2w2a", 0.9660, "10,000 MNIST test images", mnist),
    Model("kws_mlp_w3a3", 0.825, "1,000 clips of MLPerf Tiny", keywords),
    Model("unsw_nb15_mlp_w2a2", 1.0, "the authors' sample", intrusion),
)


def classes(network: IntegerNetwork, x: NDArray[np.float32]) -> NDArray[np.int64]:
    """Predictions of the integers; a single output is a sign."""
    outputs = run(network, x)
    return (outputs[:, 0] > 0).astype(np.int64) if outputs.shape[1] == 1 else outputs.argmax(axis=1)


def compare(path: Path, x: NDArray[np.float32]) -> dict[str, int]:
    """Print a row of the second table; its numbers by metric."""
    with tempfile.TemporaryDirectory() as scratch:
        samples = Path(scratch) / "samples.npz"
        np.savez(samples, x=x[:MOST_SAMPLES])
        found = verify_file(path, samples)
    source = found.source
    assert source is not None
    sums = [tensor for tensor in found.extremes if tensor.kind in SUMS]
    widest = max(sums, key=lambda tensor: tensor.bits - tensor.observed_bits)
    print(
        f"| {path.stem} | {source.frames or source.skipped} | {source.differing} | "
        f"{source.proven} | {source.exact_frames} | {', '.join(found.compared)} | "
        f"{widest.layer}: {widest.bits} promised, {widest.observed_bits} used |"
    )
    return {
        "float32_frames": source.frames,
        "float32_wrong": source.proven,
        "exact_frames": source.exact_frames,
    }


def main() -> None:
    """Print the tables of docs/third_party.md, and write the rows as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ.get("QDEPLOY_DATA", ""))
    if not (data.parent / "models").is_dir():
        sys.exit("set QDEPLOY_DATA to the folder with the data sets, beside the folder 'models'")
    rows = []
    print("| model | layers | published | measured | of | lowering |")
    print("|---|---|---|---|---|---|")
    for model in MODELS:
        started = time.perf_counter()
        network = lower(data.parent / "models" / f"{model.file}.onnx")
        seconds = time.perf_counter() - started
        x, y = model.data(data)
        measured = float(np.mean(classes(network, x) == y))
        print(
            f"| {model.file} | {len(network.nodes)} | {model.published:.2%} | {measured:.2%} | "
            f"{model.of} | {seconds:.2f} s |"
        )
        for metric, value in (("accuracy", measured), ("lowering_seconds", seconds)):
            row = {"case": model.file, "metric": metric, "value": value, "unit": ""}
            rows.append(row | {"against": f"published {model.published}"})
    print(COMPARISONS)
    print("|---|---|---|---|---|---|---|")
    for model in MODELS:
        x, _ = model.data(data)
        for metric, count in compare(data.parent / "models" / f"{model.file}.onnx", x).items():
            row = {"case": model.file, "metric": metric, "value": count, "unit": "samples"}
            rows.append(row | {"against": "qonnx"})
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
