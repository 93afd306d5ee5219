# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: one .safetensors file with the parameters and, as JSON metadata, the network."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from qdeploy.errors import UserError
from qdeploy.files import atomic_file
from qdeploy.networks import NetworkConfig, build_network
from qdeploy.networks.network import Network
from qdeploy.quantizers.config import QuantizationConfig
from qdeploy.quantizers.quantize import quantize

MAXIMUM_FILE_BYTES = 2 << 30
_NETWORK = "qdeploy.network"


class _MadeOf(BaseModel):
    """What a network is, without its parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: NetworkConfig
    quantization: QuantizationConfig | None


def save(network: Network, path: Path) -> None:
    """Write parameters, buffers and configurations of `network`, a float one or a twin."""
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    # One entry: safetensors writes several in random order.
    made_of = _MadeOf(network=network.config, quantization=network.quantization)
    metadata = {_NETWORK: made_of.model_dump_json()}
    with atomic_file(path) as partial:
        save_file(tensors, partial, metadata)


def load(path: Path) -> Network:
    """Read a network, in evaluation mode.

    Raises:
        UserError: if the file is missing, damaged, or does not hold what its configuration asks.
    """
    path = Path(path)
    metadata, tensors = _read(path)
    try:
        made_of = _MadeOf.model_validate_json(metadata.get(_NETWORK, ""))
        network = build_network(made_of.network)
        if made_of.quantization is not None:
            network = quantize(network, made_of.quantization)
    except ValidationError as error:
        first = error.errors()[0]
        _reject(path, f"describes no network ({first['msg']})")
    except UserError as error:
        _reject(path, f"describes no network ({error.problem})")
    _check(path, tensors, network.state_dict())
    network.load_state_dict(tensors)
    return network.eval()


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            _reject(path, f"has {path.stat().st_size} bytes; 2 GiB is the limit")
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        _reject(path, f"is damaged or no .safetensors file ({error})")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", remedy="check the path") from error


def _check(path: Path, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    if different := sorted(tensors.keys() ^ expected.keys()):
        _reject(path, f"lacks or should not have '{different[0]}'")
    for name, tensor in tensors.items():
        wanted = expected[name]
        if (tensor.shape, tensor.dtype) != (wanted.shape, wanted.dtype):
            _reject(
                path,
                f"has '{name}' as {tensor.dtype} {list(tensor.shape)}, "
                f"not {wanted.dtype} {list(wanted.shape)}",
            )
        if not torch.isfinite(tensor).all():
            _reject(path, f"has infinite values in '{name}'")


def _reject(path: Path, problem: str) -> NoReturn:
    raise UserError(f"{path} {problem}", remedy="write it again with 'qdeploy train'")
