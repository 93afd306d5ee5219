# SPDX-License-Identifier: Apache-2.0
"""The Python calls `qdeploy.quantize`, `fit`, `train`, `export` and `compile`."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qdeploy.build import Build
from qdeploy.config import compile_config, load_config
from qdeploy.errors import UserError
from qdeploy.files import atomic_directory
from qdeploy.stages import Outcome

if TYPE_CHECKING:
    import torch

    from qdeploy.training import TrainingResult
    from qdeploy.training.batches import Batches, Loss
    from qdeploy.training.resumption import Epoch


def quantize(module: torch.nn.Module, **options: Any) -> torch.nn.Module:
    """The quantized twin of an ordinary torch module, layer by layer under the same names.

    Args:
        module: is not changed; its parameters are the twin's start.
        options: keys of table [quantization] of a build file: method, weights, activations,
            layers...

    Raises:
        UserError: if an option is unknown or wrong, or names a layer that there is not.

    Examples:
        `quantize(net, method="syq", weights="ternary", granularity="pixel", activations=2,
        layers={"conv1": {"weights": "int8"}})`
    """
    from qdeploy.quantizers.config import quantization_config
    from qdeploy.quantizers.quantize import quantize as twin_of

    return twin_of(module, quantization_config(**options))


def fit(
    module: torch.nn.Module,
    train: Batches,
    test: Batches,
    *,
    epochs: int = 40,
    learning_rate: float = 5e-3,
    loss: Loss | None = None,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    state_file: Path | str | None = None,
) -> list[Epoch]:
    """Train a twin in place by its method, or any other module with Adam; shows progress.

    The learning rate falls along a cosine. In the end the statistics of batch normalization are
    averaged over the training data. The caller's random state and the module's device are kept.

    Args:
        module: what `quantize` returned, with parameters of a trained float module to start from;
            or an ordinary module, which stays float.
        train: batches (inputs, targets), a `torch.utils.data.DataLoader` for instance. Inputs of a
            twin lie in 0 .. 1, or are tokens; targets are classes, int64.
        test: likewise.
        epochs: passes over `train`; methods with several phases take about as many together.
        learning_rate: Adam's at the start.
        loss: of outputs and targets, mean over the batch; by default the cross entropy of classes.
        seed: of shuffling; the same one gives the same network on the same machine.
        device: "auto" is the first CUDA device, if there is one, else the CPU.
        state_file: a call that was interrupted goes on from it, after the last finished epoch; it
            is removed in the end.

    Returns:
        Of each epoch the phase, the mean training loss, and as `metric` the accuracy (0 .. 1) on
        `test`, or the mean of your own `loss`.

    Raises:
        UserError: if a value is wrong, training diverges, or there is no CUDA device.
    """
    import torch
    from pydantic import ValidationError

    from qdeploy.quantizers.config import complaints
    from qdeploy.training.batches import OwnTask, fit_module
    from qdeploy.training.config import TrainingConfig

    try:
        training = TrainingConfig(
            float_epochs=epochs,
            epochs=epochs,
            learning_rate=learning_rate,
            seed=seed,
            device=device,
        )
    except ValidationError as error:
        raise UserError(complaints(error), remedy="docs/formats.md has all keys") from error
    file = None if state_file is None else Path(state_file)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return fit_module(module, OwnTask(train, test, loss), training, file)


def train(recipe: Path | str, output: Path | str = "run") -> TrainingResult:
    """Train the float network of a build file and its quantized twin.

    Args:
        recipe: build file (TOML) with the tables [data], [network], [quantization], [training].
        output: folder to write: network.safetensors, float.safetensors, training.json.

    Raises:
        UserError: if the build file is wrong.
    """
    from qdeploy.training import load_training_result
    from qdeploy.training import train as train_network
    from qdeploy.training.devices import is_first

    config = load_config(Path(recipe))
    # The other processes of a torchrun throw their copies away.
    folder = Path(output) if is_first() else Path(tempfile.gettempdir()) / f"qdeploy-{os.getpid()}"
    with atomic_directory(folder) as partial:
        train_network(config.data, config.network, config.quantization, config.training, partial)
    result = load_training_result(folder)
    if not is_first():
        shutil.rmtree(folder)
    return result


def export(
    model: torch.nn.Module | Path | str,
    output: Path | str = "net.onnx",
    example_input: torch.Tensor | None = None,
) -> Path:
    """Export a Brevitas module, or a checkpoint of `train`, to a standard QONNX file.

    Args:
        model: the module in eval mode, or the path of a checkpoint.
        output: file to write.
        example_input: one input [1, ...], needed for a module.

    Raises:
        UserError: if a module comes without an example input.
    """
    from qdeploy import exporter

    if isinstance(model, (str, Path)):
        exporter.export(Path(model), Path(output))
    elif example_input is None:
        raise UserError("a module needs an example input", remedy="pass example_input=torch.Tensor")
    else:
        exporter.export_qonnx(model, example_input, Path(output))
    return Path(output)


def compile(  # noqa: A001 (the field's word)
    model: torch.nn.Module | Path | str,
    output: Path | str = "build",
    *,
    example_input: torch.Tensor | None = None,
    data: Path | str | None = None,
    **options: Any,
) -> Build:
    """Compile to a packed CPU model and a simulated accelerator, compared with the reference.

    Args:
        model: a QONNX file, a name of `qdeploy models`, or a Brevitas module together with
            `example_input`.
        output: build folder; finished stages in it are reused.
        example_input: one input [1, ...], needed for a module.
        data: test data, .npz with x and optionally y; random inputs without it.
        options: keys of `qdeploy.config.CompileConfig`: board, fps, output kind...

    Raises:
        UserError: if a layer cannot be compiled; names it, the reason and the remedy.
    """
    from qdeploy import pipeline

    config = compile_config(**options)
    data = Path(data) if data is not None else None
    if isinstance(model, (str, Path)):
        return pipeline.compile_model(Path(model), config, Path(output), _silent, data)
    with tempfile.TemporaryDirectory() as scratch:
        path = export(model, Path(scratch) / "net.onnx", example_input)
        return pipeline.compile_model(path, config, Path(output), _silent, data)


def _silent(name: str, outcome: Outcome | None) -> None:
    """No progress output from Python calls."""
