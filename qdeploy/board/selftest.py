# SPDX-License-Identifier: Apache-2.0
"""A package's own test: inputs and the outputs that every device must give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qdeploy.errors import InternalError

if TYPE_CHECKING:
    from qdeploy.board.devices import Runner
    from qdeploy.board.package import Package


def self_test(package: Package, runner: Runner) -> int:
    """Run the test inputs of a package and compare every integer.

    Returns:
        Number of frames.

    Raises:
        InternalError: if an output differs; names the first.
    """
    given = package.array("selftest/input.npy")
    expected = package.array("selftest/integers.npy")
    integers = runner.run_integers(given)
    wrong = np.argwhere(integers != expected)
    if len(wrong):
        first = tuple(map(int, wrong[0]))
        raise InternalError(
            f"self-test of {package.manifest.name} on {runner.form}: {len(np.unique(wrong[:, 0]))} "
            f"of {len(given)} frames are wrong, first frame {first[0]}, output {first[1:]}: "
            f"{integers[first]} instead of {expected[first]}"
        )
    if not package.manifest.network.output_function:
        # Exponentials may differ in the last bit from machine to machine, integers may not.
        reals = runner.run(given)
        if not np.array_equal(reals, package.array("selftest/output.npy")):
            raise InternalError(
                f"self-test of {package.manifest.name} on {runner.form}: the integers are right, "
                "the real outputs are not"
            )
    return len(given)
