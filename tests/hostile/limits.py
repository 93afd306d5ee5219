# SPDX-License-Identifier: Apache-2.0
"""Run a piece of code with a limit of processor time and of memory, in this process."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class TooSlow(BaseException):
    """No Exception, so that no code under test can catch it."""


@contextmanager
def limited(seconds: int, megabytes: int) -> Iterator[None]:
    """Raise TooSlow after `seconds` of processor time, which other processes cannot use up; let
    allocations fail beyond `megabytes` more than now."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"still running after {seconds} s")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    room = pages * resource.getpagesize() + (megabytes << 20)
    handler = signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (room, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, handler)
