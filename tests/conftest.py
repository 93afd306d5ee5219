# SPDX-License-Identifier: Apache-2.0
"""Order and threads of all tests.

Files with slow tests come first, so that no worker has a long one left at the end. Each worker and
what it starts computes with one thread: PyTorch's wait for each other by spinning, which takes a
busy machine several times the work. Random examples are the same in every run; QDEPLOY_RANDOM=1
looks at others.
"""

import os

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("same examples", derandomize=True)
if not os.environ.get("QDEPLOY_RANDOM"):
    settings.load_profile("same examples")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
