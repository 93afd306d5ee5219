# SPDX-License-Identifier: Apache-2.0
"""Files with slow tests come first, so that no worker has a long one left at the end."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
