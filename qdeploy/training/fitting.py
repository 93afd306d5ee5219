# SPDX-License-Identifier: Apache-2.0
"""The training loop of all methods: phases of epochs of steps; interrupted, it resumes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from torch import nn
from torch.optim import Optimizer

from qdeploy.errors import UserError
from qdeploy.quantizers.bits import average_bits
from qdeploy.training import resumption
from qdeploy.training.devices import Device
from qdeploy.training.phases import Phase
from qdeploy.training.resumption import BEGINNING, Epoch, State
from qdeploy.training.task import Task, joined

_LARGEST_SEED = 2**63
# Samples of a batch per process: batch normalization has no variance of one.
_LEAST_PART = 2


def progress_bars() -> Progress:
    """One bar per phase."""
    return Progress(
        TextColumn("{task.description:12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )


def fit(
    network: nn.Module,
    task: Task,
    phases: Sequence[Phase],
    device: Device,
    progress: Progress,
    seed: int = 0,
    state_file: Path | None = None,
) -> list[Epoch]:
    """Train `network` in place, on the CPU in the end.

    Every epoch draws its random numbers from (seed, phase, epoch), so that a training that goes on
    from `state_file` (of the first process) ends as an uninterrupted one. After the last epoch the
    statistics of batch normalization are measured once more, without augmentation. The last metric
    is that of the CPU.

    Args:
        network: its parameters are the start.
        task: data and loss.
        phases: in order.
        device: of this process.
        progress: gets a bar per phase.
        seed: of shuffling and augmentation.
        state_file: written after each epoch; read if it is there.

    Raises:
        UserError: if the loss is not finite.
    """
    network.to(device.device)
    state = BEGINNING if state_file is None else resumption.load(state_file, network)
    history = list(state.history)
    phases = [phase for phase in phases if phase.epochs > 0]
    for index, phase in enumerate(phases):
        if index < state.phase:
            continue
        resumed = index == state.phase and state.epochs > 0
        first = state.epochs if resumed else 0
        if resumed:
            phase.kept.update(state.kept)
        else:
            phase.begin(network)
            device.share(network)
        optimizer = phase.optimizer(network)
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        if resumed:
            resumption.restore(optimizer, state.optimizer)
        bar = progress.add_task(phase.name, total=phase.epochs, completed=first, state="")
        for number in range(first, phase.epochs):
            torch.manual_seed(hash((seed, index, number)) % _LARGEST_SEED)
            loss = _epoch(network, task, phase, optimizer, device, number)
            phase.after_epoch(network)
            if phase is phases[-1] and number + 1 == phase.epochs:
                _estimate_statistics(network, task, device)
            device.share(network)
            history.append(Epoch(phase.name, loss, task.evaluate(network)))
            shown = f"{_shown(history[-1], task, network)}  {phase.note(network)}"
            progress.update(bar, advance=1, state=shown)
            if state_file is not None and device.rank == 0:
                done = State(index, number + 1, tuple(history), phase.kept, {})
                resumption.save(state_file, network, optimizer, done)
    network.to("cpu")
    if history and device.device.type != "cpu":
        history[-1] = replace(history[-1], metric=task.evaluate(network))
    return history


def _epoch(
    network: nn.Module,
    task: Task,
    phase: Phase,
    optimizer: Optimizer,
    device: Device,
    number: int,
) -> float:
    """Train for one epoch; the mean loss."""
    network.train()
    total, count = 0.0, 0
    batches = joined(task.batches(phase.augmented), _LEAST_PART * device.count)
    for step, (x, y) in enumerate(batches):
        done = (number * task.steps + step) / (phase.epochs * task.steps)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * phase.schedule(done)
        own = device.part(x)
        loss = task.loss(network(own), device.part(y))
        total += loss.item() * len(own)
        count += len(x)
        if phase.penalty is not None:
            loss = loss + phase.penalty(network)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        device.average_gradients(network, len(own) / len(x))
        optimizer.step()
        phase.after_step(network, optimizer, done + 1 / (phase.epochs * task.steps))
    total = device.total(total)
    if not math.isfinite(total):
        rate = optimizer.param_groups[0]["initial_lr"]
        raise UserError(
            f"the network diverged in epoch {number + 1} of phase '{phase.name}' (loss {total})",
            remedy=f"lower training.learning_rate (now {rate:g})",
        )
    return total / count


def _shown(epoch: Epoch, task: Task, network: nn.Module) -> str:
    value = f"{epoch.metric:.2%}" if task.metric == "accuracy" else f"{epoch.metric:.3f}"
    bits = average_bits(network)
    width = "" if bits is None else f"  {bits:.2f} bits/weight"
    return f"loss {epoch.loss:.4f}  {task.metric} {value}{width}"


def _estimate_statistics(network: nn.Module, task: Task, device: Device) -> None:
    """Set the means and variances of batch normalization to their averages over the data.

    The running ones lag behind: some codes flip to and fro until the last step (Nagel et al., ICML
    2022, "Overcoming oscillations in quantization-aware training").
    """
    layers = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        return
    momentum = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # plain average
    network.train()
    with torch.no_grad():
        for (batch,) in joined(((x,) for x in task.inputs()), _LEAST_PART):
            network(batch.to(device.device))
    for layer, value in zip(layers, momentum, strict=True):
        layer.momentum = value
