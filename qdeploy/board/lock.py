# SPDX-License-Identifier: Apache-2.0
"""One process per device."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qdeploy.errors import UserError

_SHARED = Path("/run/lock")  # emptied when the board starts, writable for everybody


@contextmanager
def device_lock(device: str) -> Iterator[None]:
    """Hold a device; it is free again when the process ends in whatever way.

    Args:
        device: its name.

    Raises:
        UserError: if another process, or this one, holds it.
    """
    folder = _SHARED if os.access(str(_SHARED), os.W_OK) else Path(tempfile.gettempdir())
    path = folder / f"qdeploy-{device}.lock"
    try:
        descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UserError(
            f"cannot open {path}: {error.strerror}", remedy="run as the user who owns it, or root"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            who = "this process" if owner == str(os.getpid()) else f"process {owner}"
            raise UserError(
                f"the device '{device}' is in use by {who}",
                remedy="close its accelerator or end it, then try again",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
