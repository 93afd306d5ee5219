# SPDX-License-Identifier: Apache-2.0
from math import prod

import pytest
from awkward_network import awkward_network, random_codes
from hypothesis import given, settings
from hypothesis import strategies as st
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from sample_networks import small_cnn, small_mlp

from qdeploy.errors import UserError
from qdeploy.fpga.board import load_board
from qdeploy.fpga.folding import FoldedModel, fold
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.solver.units import UnitFolding, divisors
from qdeploy.fpga.verification import verify_nodes

BOARD = load_board("pynq-z2")
CNN = small_cnn(channels=(1, 8, 12))
MAPPED = map_network(CNN)


def fold_for(cycles: int, model: ModelWrapper = MAPPED) -> FoldedModel:
    return fold(model, BOARD, BOARD.clock_mhz * 1e6 / cycles)


def attribute(folded: FoldedModel, name: str, key: str) -> int:
    return getCustomOp(folded.model.get_node_from_name(name)).get_nodeattr(key)


def check_legal(model: ModelWrapper) -> None:
    """Streams fit together and every operator's parallelism divides what it must."""
    reader = {node.input[0]: node for node in model.graph.node}
    for node in model.graph.node:
        operator = getCustomOp(node)
        words_in, words_out = operator.get_folded_input_shape(), operator.get_folded_output_shape()
        assert prod(words_in) == prod(operator.get_normal_input_shape())
        assert prod(words_out) == prod(operator.get_normal_output_shape())
        if node.op_type == "MVAU_rtl":
            mh, mw, pe, simd = (operator.get_nodeattr(k) for k in ("MH", "MW", "PE", "SIMD"))
            summed = operator.get_nodeattr("scale_form") == "post"
            groups = operator.get_nodeattr("multipliers").shape[2] if summed else 1
            assert mh % pe == 0
            assert (mw // groups) % simd == 0
            assert pe % words_out[-1] == 0
        if node.op_type == "StreamingDataWidthConverter_rtl":
            widths = sorted((operator.get_instream_width(), operator.get_outstream_width()))
            assert widths[1] % widths[0] == 0
        if node.output[0] in reader:
            follower = getCustomOp(reader[node.output[0]])
            assert operator.get_outstream_width() == follower.get_instream_width()
            assert prod(words_out[:-1]) == prod(follower.get_folded_input_shape()[:-1])


@settings(deadline=None, max_examples=25)
@given(cycles=st.integers(1, 200_000))
def test_every_target_gives_a_legal_folding_as_fast_as_it_can_be(cycles: int) -> None:
    folded = fold_for(cycles)
    check_legal(folded.model)
    # conv1 sees one channel: its 9 positions of 64 windows come one by one.
    assert folded.cycles_per_frame <= max(cycles, 576)
    nodes = folded.model.graph.node
    assert folded.cycles_per_frame == max(getCustomOp(node).get_exp_cycles() for node in nodes)


@settings(deadline=None, max_examples=15)
@given(cycles=st.integers(1, 5_000))
def test_awkward_shapes_get_legal_foldings_too(cycles: int) -> None:
    check_legal(fold_for(cycles, map_network(awkward_network())).model)


def test_faster_targets_take_more_lanes() -> None:
    lanes = [
        attribute(folded, "conv2", "PE") * attribute(folded, "conv2", "SIMD")
        for folded in map(fold_for, (60_000, 6_000, 600))
    ]
    assert lanes == sorted(lanes)
    assert lanes[0] < lanes[-1]


def test_the_record_names_the_fullest_resource() -> None:
    record = fold(MAPPED, BOARD, fill=0.05).record
    taken, board = record.predicted._asdict(), BOARD.resources.model_dump()
    shares = {name: taken[name] / board[name] for name in board}
    assert shares["dsp"] == max(shares.values()) <= 0.05
    fullest = f"it takes at most {shares['dsp']:.1%}, of the DSP slices; 5% are allowed."
    assert fullest in record.describe()
    over = record.model_copy(update={"fill": 0.025})
    assert (
        f"{shares['dsp']:.1%} of the board's DSP slices, more than the 2.5% allowed"
        in over.describe()
    )


def test_groups_that_share_a_multiplier_are_whole_words() -> None:
    folded = fold(MAPPED, BOARD, BOARD.clock_mhz * 1e6, {"conv1": UnitFolding(8, 9)})
    assert attribute(folded, "conv1", "SIMD") == 9  # one channel leaves no groups to sum
    assert attribute(folded, "conv2", "SIMD") in divisors(8)


def test_a_folding_of_the_user_is_taken() -> None:
    folded = fold(MAPPED, BOARD, 1000, {"conv2": UnitFolding(6, 4), "fc": UnitFolding(5, 16)})
    assert (attribute(folded, "conv2", "PE"), attribute(folded, "conv2", "SIMD")) == (6, 4)
    assert (attribute(folded, "fc", "PE"), attribute(folded, "fc", "SIMD")) == (5, 16)
    check_legal(folded.model)
    verify_nodes(folded.model, CNN, random_codes(CNN, 2))


def test_widths_that_do_not_divide_are_converted_in_two_steps() -> None:
    folded = fold(MAPPED, BOARD, BOARD.clock_mhz * 1e6 / 600, {"fc": UnitFolding(1, 3)})
    steps = [node for node in folded.model.graph.node if node.name.startswith("fc_width")]
    widths = [
        (getCustomOp(n).get_instream_width(), getCustomOp(n).get_outstream_width()) for n in steps
    ]
    assert widths == [(4, 12), (12, 6)]  # words of 2, 6 and 3 elements of 2 bits
    check_legal(folded.model)
    verify_nodes(folded.model, CNN, random_codes(CNN, 2))


@settings(deadline=None, max_examples=20)
@given(pe=st.integers(1, 14), simd=st.integers(1, 10))
def test_a_folding_is_taken_exactly_if_it_divides(pe: int, simd: int) -> None:
    if 12 % pe == 0 and 8 % simd == 0:
        check_legal(fold(MAPPED, BOARD, 1000, {"conv2": UnitFolding(pe, simd)}).model)
    else:
        with pytest.raises(UserError, match="does not divide") as caught:
            fold(MAPPED, BOARD, 1000, {"conv2": UnitFolding(pe, simd)})
        assert caught.value.layer == "conv2"


@pytest.mark.parametrize(
    ("folding", "message", "remedy"),
    [
        ({"conv2": UnitFolding(5, 1)}, "PE = 5 does not divide its 12 outputs", "4 and 6"),
        ({"conv2": UnitFolding(1, 16)}, "SIMD = 16 does not divide its 8 inputs", "8"),
        ({"act1": UnitFolding(1, 1)}, "names 'act1'", "conv1, conv2, fc"),
    ],
)
def test_an_illegal_folding_is_refused_with_what_is_legal(
    folding: dict[str, UnitFolding], message: str, remedy: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        fold(MAPPED, BOARD, 1000, folding)
    assert caught.value.remedy.endswith(remedy)


def test_more_than_a_frame_per_cycle_is_refused() -> None:
    with pytest.raises(UserError, match="more than one per cycle"):
        fold(MAPPED, BOARD, 1e9)


def test_the_slowest_node_sets_the_pace_for_the_others() -> None:
    """576 cycles are the limit of conv1; no other node is folded for less than it needs."""
    assert [attribute(fold_for(c), "conv2", "PE") for c in (1, 576)] == [
        attribute(fold_for(576), "conv2", "PE")
    ] * 2


def test_the_mapped_model_stays_as_it_is() -> None:
    model = map_network(small_mlp())
    before = model.model.SerializeToString()
    fold_for(10, model)
    assert model.model.SerializeToString() == before


def test_every_stream_but_those_into_converters_has_a_fifo() -> None:
    model = fold_for(600).model
    for node in model.graph.node:
        writer = model.find_producer(node.input[0])
        into_converter = node.op_type == "StreamingDataWidthConverter_rtl"
        is_fifo = node.op_type == "StreamingFIFO_rtl"
        if not is_fifo and not into_converter:
            assert writer.op_type == "StreamingFIFO_rtl", node.name
    assert model.graph.node[-1].op_type == "StreamingFIFO_rtl"
