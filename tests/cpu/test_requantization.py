# SPDX-License-Identifier: Apache-2.0
"""Rounded quotients in ONNX Runtime against the reference, on every integer of a range."""

import numpy as np
import pytest
from exact_check import assert_exact, operators
from random_networks import one_node_network

from qdeploy.integer import ROUNDED_QUOTIENT, IntegerNetwork, Quotient, Requantize, ValueRange

COUNT = 4000


def network_of(quotient: Quotient, low: int = -COUNT // 2) -> IntegerNetwork:
    node = Requantize(name="act", input="x", output="y", quotient=quotient)
    return one_node_network(node, (3, 10), ValueRange(low, low + COUNT - 1))


def images() -> np.ndarray:
    return np.arange(COUNT).reshape(-1, 1, 10).repeat(3, axis=1)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("rounding", sorted(ROUNDED_QUOTIENT))
def test_every_rule_with_ties(rounding: str, rows: int) -> None:
    rng = np.random.default_rng(rows)
    for divisor in (1, 2, 6, 2**40):
        p, q = rng.integers(-99, 99, (2, rows))
        ends = np.array([-300] * rows), rng.integers(0, 400, rows)
        quotient = Quotient(p, q, np.full(rows, divisor), *ends, rounding)
        assert_exact(network_of(quotient), images())


@pytest.mark.parametrize("rounding", sorted(ROUNDED_QUOTIENT))
def test_numerators_as_large_as_float64_takes(rounding: str) -> None:
    """Quotients next to integers and to halves, by one part in 2^50 and less."""
    for divisor in (2**13 + 1, 2**25 + 1, 2**38 + 1):
        one = np.ones(1, np.int64)
        p = one * (2**50 // COUNT // divisor * divisor + (divisor - 1) // 2)
        for q in (-1, 0, 1, divisor // 2, divisor // 2 + 1):
            limits = np.array([-(2**40)]), np.array([2**40])
            quotient = Quotient(p, one * q, one * divisor, *limits, rounding)
            network = network_of(quotient)
            assert 2**46 < quotient.numerator_bound(COUNT // 2) < 2**52
            assert operators(network)["Div"] == 1
            assert_exact(network, images())


@pytest.mark.parametrize("low", [-COUNT, -COUNT // 2, 0])
def test_larger_numerators_are_divided_as_integers(low: int) -> None:
    rng = np.random.default_rng(5)
    divisor = rng.integers(2**40, 2**60, 3)
    p, q = rng.integers(-(2**47), 2**47, 3), rng.integers(-(2**59), 2**59, 3)
    limits = np.array([-3000, -5, 0]), np.array([3000, 7, 2**20])
    assert_exact(network_of(Quotient(p, q, divisor, *limits, "FLOOR"), low), images())
