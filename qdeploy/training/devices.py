# SPDX-License-Identifier: Apache-2.0
"""Where training runs: one process or several (`torchrun`), on the CPU or on CUDA devices."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from qdeploy.errors import QdeployError, UserError
from qdeploy.training.config import TrainingConfig

T = TypeVar("T")


@dataclass(frozen=True)
class Device:
    """The device of one process among others."""

    device: torch.device
    rank: int
    count: int

    def part(self, batch: Tensor) -> Tensor:
        """The process's own samples of a batch, on the device.

        Raises:
            UserError: if there are more processes than samples.
        """
        if len(batch) < self.count:
            raise UserError(
                f"a batch of {len(batch)} samples for {self.count} processes",
                remedy="raise training.batch_size, or give more data",
            )
        return batch[self.rank :: self.count].to(self.device)

    def average_gradients(self, network: nn.Module, share: float) -> None:
        """Give all processes the mean of their gradients; `share` is that of the batch."""
        if self.count == 1:
            return
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.grad *= share
                distributed.all_reduce(parameter.grad)

    def total(self, number: float) -> float:
        """The sum of all processes' numbers."""
        if self.count == 1:
            return number
        tensor = torch.tensor(number, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        return tensor.item()

    def share(self, network: nn.Module) -> None:
        """Give all processes the parameters and buffers of the first."""
        if self.count > 1:
            for tensor in network.state_dict().values():
                distributed.broadcast(tensor, 0)


def is_first() -> bool:
    """Whether this is the first process of a `torchrun`, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def of_first(find: Callable[[], T]) -> T:
    """What `find` returns in the first process, or the error that it raises, in all of them."""
    if not distributed.is_initialized():
        return find()
    found: list[Any] = [None]
    if distributed.get_rank() == 0:
        try:
            found[0] = find()
        except QdeployError as error:
            found[0] = error
    distributed.broadcast_object_list(found, 0)
    if isinstance(found[0], QdeployError):
        raise found[0]
    result: T = found[0]
    return result


@contextmanager
def devices(training: TrainingConfig) -> Iterator[Device]:
    """The device of this process; joins the others that `torchrun` started.

    CUDA's kernels are deterministic and compute in full float32 meanwhile.

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
    if cuda:
        torch.cuda.set_device(device)
    if count > 1:
        distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        with _deterministic(cuda):
            yield Device(device, rank, count)
    finally:
        if count > 1:
            distributed.destroy_process_group()


@contextmanager
def _deterministic(cuda: bool) -> Iterator[None]:
    """Kernels of CUDA that give the same sums every time; torch warns where it has none."""
    if not cuda:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    precision = torch.get_float32_matmul_precision()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
