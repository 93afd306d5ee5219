# SPDX-License-Identifier: Apache-2.0
"""ALQ's steps against its model of the loss, and the known mistakes of the published code."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.errors import UserError
from qdeploy.quantizers.alq.solvers import (
    bases_step,
    cheapest,
    merged,
    removal_costs,
    scale_moments,
    sketch,
    speed_up,
    without,
)
from qdeploy.quantizers.groups import Groups
from qdeploy.quantizers.multibit.solvers import Bases, nearest_codes


def draw(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(seed: int, groups: int = 5, size: int = 12, bases: int = 3):
    """Sketched weights, and a step of AMSGrad from them: targets and curvature."""
    present = sketch(draw((groups, size), seed), bases)
    curvature = draw((groups, size), seed + 1).abs() + 0.05
    step = 0.3 * draw((groups, size), seed + 2)
    return present, present.values() + step, curvature


def model(values: torch.Tensor, targets: torch.Tensor, curvature: torch.Tensor) -> torch.Tensor:
    """The quadratic model of the loss for each group, above its minimum."""
    return (curvature * (values - targets).square()).sum(dim=1) / 2


SHAPES = [
    ((3, 4, 2, 5), "kernelwise", 1, (3, 4, 1, 1), lambda w: w[1, 2].flatten(), 6),
    ((3, 4, 2, 5), "pixelwise", 1, (3, 1, 2, 5), lambda w: w[1, :, 1, 2], 17),
    ((3, 4, 2, 5), "channelwise", 1, (3, 1, 1, 1), lambda w: w[2].flatten(), 2),
    ((3, 6), "subchannelwise", 2, (3, 2), lambda w: w[1, 3:], 3),
]


@pytest.mark.parametrize(("shape", "structure", "pieces", "scales", "part", "index"), SHAPES)
def test_groups(shape, structure, pieces, scales, part, index):
    weights = draw(shape)
    groups = Groups(shape, structure, pieces)
    split = groups.split(weights)
    assert groups.scale_shape == scales
    assert split.shape == (math.prod(scales), groups.size)
    assert torch.equal(groups.joined(split), weights)
    assert torch.equal(split[index], part(weights))


@pytest.mark.parametrize(("structure", "pieces"), [("subchannelwise", 4), ("rowwise", 1)])
def test_groups_that_do_not_exist(structure, pieces):
    with pytest.raises(UserError):
        Groups((3, 6), structure, pieces)


def test_sketching_takes_as_many_bases_as_a_group_needs():
    signs = draw((1, 16), 1).sign()
    exact = 0.75 * signs + 0.25 * draw((1, 16), 2).sign()
    weights = torch.cat([torch.zeros(1, 16), signs / 2, exact, draw((1, 16), 3)]).double()
    bases = sketch(weights, 6)
    assert (bases.scales > 0).sum(dim=1).tolist() == [0, 1, 2, 6]
    assert torch.equal((bases.codes != 0).all(dim=2), bases.scales > 0)
    torch.testing.assert_close(bases.values()[:3], weights[:3])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(1, 5))
def test_the_model_falls_in_both_steps(seed, count):
    present, targets, curvature = problem(seed, bases=count)
    codes = nearest_codes(targets, present.scales)
    before, between = present.values(), Bases(codes, present.scales).values()
    after = speed_up(targets, curvature, codes)
    values = [model(v, targets, curvature) for v in (before, between, after.values())]
    assert (values[1] <= values[0] + 1e-9).all()
    assert (values[2] <= values[1] + 1e-9).all()
    both = bases_step(targets, curvature, present)
    torch.testing.assert_close(both.values(), after.values())


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999))
def test_removed_bases_do_not_come_back(seed):
    present, targets, curvature = problem(seed)
    pruned = without(present, draw((5, 3), seed) > 0)
    found = bases_step(targets, curvature, pruned)
    assert ((found.scales > 0).sum(dim=1) <= (pruned.scales > 0).sum(dim=1)).all()
    assert torch.equal((found.codes != 0).all(dim=2), found.scales > 0)


def test_the_model_has_no_gradient_after_the_speed_up():
    _, targets, curvature = problem(3)
    bases = speed_up(targets, curvature, draw((5, 3, 12)).sign().to(torch.int8))
    slope = curvature * (bases.values() - targets)
    assert (bases.codes.double() @ slope[:, :, None]).abs().max() < 1e-9
    assert (bases.scales >= 0).all()


def test_moments_of_scales_are_those_that_autograd_would_see():
    bases = sketch(draw((4, 7)), 3)
    gradient = draw((4, 7), 5)
    scales = bases.scales.clone().requires_grad_()
    (Bases(bases.codes, scales).values() * gradient).sum().backward()
    first, second = scale_moments(bases.codes, gradient, gradient.square())
    torch.testing.assert_close(first, scales.grad)
    torch.testing.assert_close(second, gradient.square().sum(1, keepdim=True).expand(4, 3))


def test_a_removed_base_costs_what_the_model_says():
    """Where bases are orthogonal and the curvature is even, the scales do not interact."""
    signs = torch.tensor([[[1, 1, 1, 1], [1, -1, 1, -1]]], dtype=torch.int8)
    bases, rate = Bases(signs, torch.tensor([[2.0, 0.5]]).double()), 0.1
    gradient, curvature = draw((1, 4)), torch.full((1, 4), 0.3).double()
    first, _ = scale_moments(signs, gradient, gradient)
    costs = removal_costs(bases.scales, first, 4 * curvature[:, :1], rate)
    targets = bases.values() - rate * gradient / curvature
    start = model(bases.values(), targets, curvature)
    for i in range(2):
        removed = without(bases, torch.arange(2)[None] == i)
        gain = model(removed.values(), targets, curvature) - start
        torch.testing.assert_close(costs[:, i], gain)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.sampled_from([0.05, 0.3, 1.0]))
def test_each_round_leaves_its_share_of_the_bits(seed, share):
    """Pruned a few at a time, across layers, until exp(-ratio) of all scales are left."""
    layers = [draw(shape, seed).abs() for shape in [(40, 3), (25, 2), (7, 6)]]
    start = sum(int((scales > 0).sum()) for scales in layers)
    goal = round(start * math.exp(-0.8))
    while (alive := sum(int((scales > 0).sum()) for scales in layers)) > goal:
        chosen = cheapest([s.square() for s in layers], layers, share, min(6, alive - goal))
        layers = [scales * ~mask for scales, mask in zip(layers, chosen, strict=True)]
    assert alive == goal


def test_pruning_by_the_model_costs_less_than_pruning_small_scales():
    present, targets, curvature = problem(8, groups=40)
    slope = curvature * (present.values() - targets)
    first, _ = scale_moments(present.codes, slope, slope)
    summed = curvature.sum(dim=1, keepdim=True).expand_as(first)
    cost = removal_costs(present.scales, first, summed, 1.0)
    values = []
    for ranking in (cost, present.scales):
        (chosen,) = cheapest([ranking], [present.scales], 1.0, 40)
        values.append(float(model(without(present, chosen).values(), targets, curvature).sum()))
    assert values[0] < values[1]


# Mistakes of the published code.


def test_costs_are_those_of_the_scales_themselves_where_some_are_pruned():
    """There, a place in the list without pruned ones was looked up in the whole list."""
    scales = [torch.tensor([[0.0, 3.0], [0.0, 1.0]]), torch.tensor([[2.0, 0.0, 4.0]])]
    costs = [torch.tensor([[-9.0, 5.0], [-9.0, 2.0]]), torch.tensor([[3.0, -9.0, 4.0]])]
    chosen = cheapest(costs, scales, 1.0, 2)
    assert chosen[0].tolist() == [[False, False], [False, True]]
    assert chosen[1].tolist() == [[True, False, False]]


def test_the_last_base_of_a_layer_stays():
    scales = [torch.tensor([[1.0]]), torch.tensor([[1.0, 1.0]]), torch.zeros(2, 2)]
    chosen = cheapest([s - 5 for s in scales], scales, 1.0, 9)
    assert [int(mask.sum()) for mask in chosen] == [0, 1, 0]


def test_bases_turn_with_negative_scales():
    """There, the copy of a transposed tensor was turned instead."""
    codes = torch.tensor([[[1, 1, -1, 1], [1, -1, 1, 1]]], dtype=torch.int8)
    weights = (torch.tensor([[[2.0], [-1.0]]]) * codes).sum(dim=1).double()
    for layout in (codes, codes.mT.contiguous().mT):
        bases = speed_up(weights, torch.ones_like(weights), layout)
        assert bases.scales.tolist() == [[2.0, 1.0]]
        assert torch.equal(bases.codes[:, 1], -codes[:, 1])
        assert torch.equal(layout, codes)


def test_equal_bases_become_one():
    """There, the inverse of a singular matrix failed."""
    base = torch.tensor([1, -1, 1, 1, -1], dtype=torch.int8)
    codes = torch.stack([base, -base, base, torch.ones_like(base)])[None]
    targets, curvature = draw((1, 5)), draw((1, 5), 1).abs()
    bases = speed_up(targets, curvature, codes)
    assert (bases.scales > 0).sum() == 2
    alone = speed_up(targets, curvature, codes[:, 2:])
    torch.testing.assert_close(bases.values(), alone.values())


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(1, 4), st.integers(1, 3))
def test_merging_keeps_the_sum(seed, count, size):
    codes = draw((6, count, size), seed).sign().to(torch.int8)
    bases = Bases(codes, draw((6, count), seed + 1).abs())
    found = merged(bases)
    torch.testing.assert_close(found.values(), bases.values())
    products = (found.codes.int() @ found.codes.int().mT).abs().triu(1)
    assert (products < size).all()


def test_gradients_count_in_the_ranking():
    """There, the learning rate had decayed to nothing, and only ½ h · scale² was left."""
    scales, curvature = torch.tensor([[0.1, 0.11]]), torch.ones(1, 2)
    gradient = torch.tensor([[-1.0, 1.0]])  # the step would shrink the second scale
    costs = removal_costs(scales, gradient, curvature, learning_rate=0.05)
    (chosen,) = cheapest([costs], [scales], 1.0, 1)
    assert chosen.tolist() == [[False, True]]
