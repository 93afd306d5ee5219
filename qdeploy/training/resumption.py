# SPDX-License-Identifier: Apache-2.0
"""The state of an interrupted training: one .safetensors file, without pickles."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from qdeploy.files import atomic_file
from qdeploy.training.devices import of_first

_STATE = "qdeploy.training"


@dataclass(frozen=True)
class Epoch:
    """Mean training loss of an epoch, in the loss's units, and the task's metric after it."""

    phase: str
    loss: float
    metric: float


@dataclass(frozen=True)
class State:
    """How far a training is.

    Attributes:
        phase: index of the phase.
        epochs: of it that are done.
        history: of all epochs so far.
        kept: what the phase keeps (`Phase.kept`).
        optimizer: tensors of the optimizer by parameter and name, "3.exp_avg".
    """

    phase: int
    epochs: int
    history: tuple[Epoch, ...]
    kept: dict[str, Tensor]
    optimizer: dict[str, Tensor]


BEGINNING = State(0, 0, (), {}, {})


def save(path: Path, network: nn.Module, optimizer: Optimizer, state: State) -> None:
    """Write the state; `state.optimizer` is taken from `optimizer`."""
    tensors = {  # copies, since safetensors refuses tensors of two names
        f"network.{name}": tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }
    tensors |= {f"kept.{name}": tensor.contiguous() for name, tensor in state.kept.items()}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value).contiguous()
    record = {
        "phase": state.phase,
        "epochs": state.epochs,
        "history": [asdict(epoch) for epoch in state.history],
    }
    with atomic_file(path) as partial:
        save_file(tensors, partial, {_STATE: json.dumps(record)})


def load(path: Path, network: nn.Module) -> State:
    """Put the network into the state that the first process saved; the beginning without one."""
    saved = of_first(lambda: _read(path))
    if saved is None:
        return BEGINNING
    state, tensors = saved
    if {name: tensor.shape for name, tensor in tensors.items()} != {
        name: tensor.shape for name, tensor in network.state_dict().items()
    }:
        return BEGINNING
    network.load_state_dict(tensors)
    return state


def _read(path: Path) -> tuple[State, dict[str, Tensor]] | None:
    """State and tensors of the network, if there is an undamaged file."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            record: dict[str, Any] = json.loads((file.metadata() or {})[_STATE])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "kept": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        state = State(
            phase=int(record["phase"]),
            epochs=int(record["epochs"]),
            history=tuple(Epoch(**epoch) for epoch in record["history"]),
            kept=parts["kept"],
            optimizer=parts["optimizer"],
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None
    return state, parts["network"]


def restore(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give a fresh optimizer the saved tensors."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
