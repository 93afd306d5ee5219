# SPDX-License-Identifier: Apache-2.0
"""Echoes in their shells, each made once."""

from collections.abc import Callable
from functools import cache

import pytest
from echo_accelerator import build_echo
from echo_shell import SHAPES, Echo


@pytest.fixture(scope="session")
def echoes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Echo]:
    """Makes every shape once."""

    @cache
    def make(name: str) -> Echo:
        widths, words, streams = SHAPES[name]
        model = build_echo(tmp_path_factory.mktemp(name), widths, words, streams)
        return Echo(model, widths, words, streams)

    return make


@pytest.fixture(scope="session", params=SHAPES)
def echo(request: pytest.FixtureRequest, echoes: Callable[[str], Echo]) -> Echo:
    return echoes(request.param)


@pytest.fixture(scope="session")
def small(echoes: Callable[[str], Echo]) -> Echo:
    return echoes("bytes")
