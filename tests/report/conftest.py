# SPDX-License-Identifier: Apache-2.0
import pytest

from qdeploy.report import (
    Activity,
    Amounts,
    Fifo,
    Layer,
    Performance,
    Report,
    Resources,
    ScaleForm,
    Schedule,
    Sizes,
    StageSummary,
    Tensor,
    Version,
)
from qdeploy.report.render import render

STAGES = [
    ("train", 41.3, False, "SYQ ternary, pixel-wise scales; 99.2 % on 360 test images"),
    ("export", 1.9, False, "digits.onnx, 12 Quant nodes, 38,120 bytes"),
    ("lower", 0.3, True, "7 integer layers, widest accumulator 17 bits"),
    ("pack", 0.4, True, "cpu.onnx, 11,402 bytes, weights packed 15.7 times"),
    ("map", 2.2, False, "9 FINN nodes, all with our RTL"),
    ("fold", 1.1, False, "slowest node 576 cycles per frame"),
    ("generate", 3.4, False, "digits_top.v, 9 operators, 8 FIFOs"),
    ("simulate", 38.0, False, "360 frames, equal to the reference"),
    ("estimate", 128.5, False, "4,321 LUT, 3,876 FF, 2.5 BRAM36, 4 DSP"),
]


def amounts(lut: float, ff: float = 100, bram36: float = 0, dsp: float = 0) -> Amounts:
    return Amounts(lut=lut, ff=ff, bram36=bram36, dsp=dsp)


@pytest.fixture(scope="session")
def full_report() -> Report:
    """A digits network with everything measured; conv1 and conv2 keep their pixel scales."""
    act = {"kind": "Threshold", "bits": 2, "low": 0, "high": 3}
    return Report(
        name="digits-syq",
        version="0.1.0",
        board="PYNQ-Z2",
        images=360,
        input=Tensor(shape=(1, 8, 8), bits=4, low=0, high=15),
        stages=[
            StageSummary(name=name, seconds=seconds, reused=reused, summary=summary)
            for name, seconds, reused, summary in STAGES
        ],
        layers=[
            Layer(
                name="conv1",
                kind="Convolution",
                shape=(16, 8, 8),
                bits=14,
                low=-7305,
                high=7140,
                weights="ternary, 3 × 3 multipliers of 8 bits",
                codes=144,
                code_counts={-1: 58, 0: 21, 1: 65},
                multipliers=[[71, 122, 64], [103, 187, 98], [59, 131, 77]],
                macs=9216,
                scale_form="post",
                weight_memory="distributed",
                products="dsp",
                pe=16,
                simd=1,
                cycles=576,
                used=amounts(611.5),
            ),
            Layer(name="act1", shape=(16, 8, 8), cycles=256, used=amounts(214), **act),
            Layer(
                name="conv2",
                kind="Convolution",
                shape=(32, 8, 8),
                bits=17,
                low=-40128,
                high=41295,
                seen=(-9120, 8733),
                weights="ternary, 3 × 3 multipliers of 8 bits",
                codes=4608,
                code_counts={-1: 1711, 0: 1102, 1: 1795},
                multipliers=[[81, 144, 90], [139, 255, 128], [88, 151, 79]],
                macs=294912,
                scale_form="post",
                scale_forms=[
                    ScaleForm(
                        form="post",
                        multipliers=16,
                        chosen=True,
                        simd=32,
                        cycles=576,
                        predicted=amounts(1833, 1901, 3.5, 16),
                    ),
                    ScaleForm(
                        form="recode",
                        multipliers=0,
                        chosen=False,
                        simd=32,
                        cycles=576,
                        predicted=amounts(7406, 6113, 15, 0),
                    ),
                ],
                weight_memory="block",
                products="lut",
                pe=16,
                simd=32,
                cycles=576,
                used=amounts(2148, 2207, 1.5, 4),
                predicted=amounts(2201, 2290, 1.5, 4),
            ),
            Layer(name="act2", shape=(32, 8, 8), cycles=512, used=amounts(402), **act),
            Layer(
                name="pool",
                kind="MaxPool",
                shape=(32, 4, 4),
                bits=2,
                low=0,
                high=3,
                cycles=64,
                used=amounts(187),
            ),
            Layer(name="flatten", kind="Flatten", shape=(512,), bits=2, low=0, high=3),
            Layer(
                name="fc",
                kind="Linear",
                shape=(10,),
                bits=11,
                low=-1023,
                high=998,
                weights="ternary, one scale",
                codes=5120,
                code_counts={-1: 2004, 0: 998, 1: 2118},
                macs=5120,
                weight_memory="constant",
                products="lut",
                pe=2,
                simd=8,
                cycles=320,
                used=amounts(341),
            ),
        ],
        versions=[
            Version(name="float", what="PyTorch, no quantizers", correct=358),
            Version(name="trained", what="Brevitas module in eval mode", correct=356, equal=True),
            Version(name="integer", what="numpy reference of the integer network", correct=356),
            Version(name="cpu", what="cpu.onnx in ONNX Runtime", correct=356, equal=True),
            Version(name="rtl", what="Verilog simulated by Verilator", correct=356, equal=True),
        ],
        comparisons=["Ranges: all 8 tensors stay within what the analysis promised."],
        sizes=Sizes(float_bytes=39488, packed_bytes=2512, file_bytes=11402),
        performance=Performance(
            predicted_cycles=576,
            measured_cycles=576,
            latency_cycles=1893,
            clock_mhz=100,
            frames_per_second=100e6 / 576,
            slowest="conv2",
        ),
        resources=[
            Resources(name="LUT", used=4321, predicted=4290, finn=5210, available=53200),
            Resources(name="FF", used=3876, predicted=3900, finn=None, available=106400),
            Resources(name="BRAM36", used=2.5, predicted=2.5, finn=3, available=140),
            Resources(name="DSP", used=4, predicted=4, finn=20, available=220),
        ],
        schedule=Schedule(
            interval=576,
            activities=[
                Activity(layer="conv1", first=27, last=601),
                Activity(layer="conv2", first=180, last=790),
                Activity(layer="pool", first=310, last=801),
                Activity(layer="fc", first=860, last=1180),
            ],
            fifos=[
                Fifo(name="conv1_padding_fifo", bits=4, depth=18, peak=11, full_speed=10, ever=13),
                Fifo(name="conv1_fifo", bits=4, depth=2, peak=2),
                Fifo(name="fc_fifo", bits=2, depth=512, peak=497),
            ],
        ),
        notes=[
            "LUT, FF, BRAM and DSP are Yosys' synthesis for xc7 without placing and routing.",
            "Cycles are measured in simulation with the input always valid and the output ready.",
        ],
    )


@pytest.fixture(scope="session")
def full_page(full_report) -> str:
    """The full report as HTML, rendered once."""
    return render(full_report)


@pytest.fixture(scope="session")
def minimal_report() -> Report:
    """Nothing but a name: no FPGA, no data, no layers."""
    return Report(
        name="empty", version="0.1.0", board=None, images=0, stages=[], layers=[], versions=[]
    )
