# SPDX-License-Identifier: Apache-2.0
"""Where training runs: one process or several (`torchrun`), on the CPU or on CUDA devices."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from qdeploy.errors import UserError
from qdeploy.training.config import TrainingConfig


@dataclass(frozen=True)
class Device:
    """The device of one process among others."""

    device: torch.device
    rank: int
    count: int

    def part(self, batch: Tensor) -> Tensor:
        """The process's own samples of a batch, on the device."""
        return batch[self.rank :: self.count].to(self.device)

    def average_gradients(self, network: nn.Module) -> None:
        """Give all processes the mean of their gradients."""
        if self.count == 1:
            return
        for parameter in network.parameters():
            if parameter.grad is not None:
                distributed.all_reduce(parameter.grad)
                parameter.grad /= self.count

    def share(self, network: nn.Module) -> None:
        """Give all processes the parameters and buffers of the first."""
        if self.count > 1:
            for tensor in network.state_dict().values():
                distributed.broadcast(tensor, 0)


def is_first() -> bool:
    """Whether this is the first process of a `torchrun`, or the only one."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def devices(training: TrainingConfig) -> Iterator[Device]:
    """The device of this process; joins the others that `torchrun` started.

    Raises:
        UserError: if CUDA is asked for and there is none.
    """
    cuda = torch.cuda.is_available() and training.device != "cpu"
    if training.device == "cuda" and not cuda:
        raise UserError(
            "no CUDA device", remedy='set training.device = "auto", or install a driver'
        )
    rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if count > 1:
        distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Device(device, rank, count)
    finally:
        if count > 1:
            distributed.destroy_process_group()
