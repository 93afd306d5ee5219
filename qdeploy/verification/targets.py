# SPDX-License-Identifier: Apache-2.0
"""What can be verified: a build folder, or a QONNX file by itself."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from qdeploy.build import open_build
from qdeploy.integer import IntegerNetwork
from qdeploy.lowering import lower
from qdeploy.verification.backends import verify
from qdeploy.verification.contents import Rescaling, Verification
from qdeploy.verification.samples import load_data, random_data
from qdeploy.verification.source import measure_rescaling


def verify_build(directory: Path, data: Path | None = None) -> Verification:
    """Compare all that a build made, on the samples of an .npz or on random ones.

    Raises:
        UserError: if the folder holds no build, or the data do not fit.
        InternalError: as `verify`.
    """
    build = open_build(directory)
    network = build.network
    samples = load_data(data, network) if data else random_data(network)
    simulator = None
    if "simulate" in build.stages:
        simulator = (build.file("generate", "rtl"), build.file("simulate", "simulator.so"))
    source = build.file("lower", "source.onnx")
    options = json.loads(build.file("lower", "lowering.json").read_text())
    return verify(
        network,
        samples,
        build.file("pack", "cpu.onnx"),
        simulator,
        source=source,
        input_type=options["input_type"],
    )


def verify_file(
    model: Path,
    data: Path | None = None,
    rescale_bits: int | None = None,
    input_type: str | None = None,
) -> Verification:
    """Lower and pack a QONNX file and compare, on the samples of an .npz or on random ones.

    Options as of `qdeploy.lowering.lower`.

    Raises:
        UserError: if the file cannot be lowered, or the data do not fit.
        InternalError: as `verify`.
    """
    from qdeploy.cpu import pack

    network = lower(model, rescale_bits=rescale_bits, input_type=input_type)
    samples = load_data(data, network) if data else random_data(network)
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / "cpu.onnx"
        pack(network, packed)
        return verify(network, samples, packed, source=model, input_type=input_type)


def rescaling_of(
    model: Path,
    network: IntegerNetwork,
    data: Path | None = None,
    input_type: str | None = None,
) -> Rescaling | None:
    """The error that rounded scales cause on the samples of an .npz or on random ones.

    Returns:
        None if `network`, lowered from `model`, has none or it cannot be measured.

    Raises:
        UserError: if the data do not fit.
    """
    if not network.notes:
        return None
    samples = load_data(data, network) if data else random_data(network)
    return measure_rescaling(model, network, samples, input_type)
