# SPDX-License-Identifier: Apache-2.0
"""Networks of published shapes as problems for the solver, from plain numbers (no FINN graph)."""

from dataclasses import dataclass, field
from math import ceil

from qdeploy.fpga.compressors.dot_products import KINDS, size
from qdeploy.fpga.resources import Cost, cost
from qdeploy.fpga.resources.matrix_vector import dot_products
from qdeploy.fpga.solver.options import with_output_fifo
from qdeploy.fpga.solver.problem import Link, Option, Problem, Stage, fifo_cost
from qdeploy.fpga.solver.units import UnitShape, divisors, unit_options


@dataclass
class PlainNetwork:
    """Grows layer by layer; `height` x `width` pixels of `channels` elements of `bits`."""

    height: int
    width: int
    channels: int
    bits: int
    stages: list[Stage] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    last: int = -1

    def convolution(
        self,
        name: str,
        outputs: int,
        kernel: int,
        kind: str,
        bits: int,
        *,
        pad: int = 0,
        stride: int = 1,
        scaled: bool = False,
        logits: bool = False,
    ) -> None:
        if pad:
            self.height, self.width = self.height + 2 * pad, self.width + 2 * pad
            self._words(
                f"{name}_padding",
                self.height * self.width,
                "padding",
                {
                    "HEIGHT": self.height - 2 * pad,
                    "IMAGE_WIDTH": self.width - 2 * pad,
                    "TOP": pad,
                    "LEFT": pad,
                    "BOTTOM": pad,
                    "RIGHT": pad,
                },
            )
        if kernel > 1 or stride > 1:
            self._window(f"{name}_window", kernel, stride, depthwise=0)
        columns = self.channels * kernel * kernel
        groups = kernel * kernel if scaled else 1
        element_bits = self.bits
        weight_bits = {"ternary": 2, "integer": 4}.get(kind, 1)

        def parameters(simd: int) -> dict[str, int | str]:
            largest = (1 << element_bits) * (1 << (weight_bits - 1)) * columns * 2
            sum_bits = (largest // groups).bit_length()
            one: dict[str, int | str] = {
                "MW": columns,
                "MH": outputs,
                "SIMD": simd,
                "PE": 1,
                "LANES": 1,
                "PLANES": 1,
                "ELEMENT_BITS": element_bits,
                "WEIGHT_BITS": weight_bits,
                "SUM_BITS": sum_bits,
                "SCALE_LANES": 1,
                "TOTAL_BITS": largest.bit_length() + 8 * scaled,
                "GROUPS": groups,
                "MULTIPLIER_BITS": 8 * scaled,
                "PER_ROW": 0,
                "OUTPUT_BITS": bits,
                "STEPS": 0 if logits else (1 << bits) - 1,
                "KIND": KINDS.index(kind),
                "FLIP": 0,
            }
            return one | {"LATENCY": size(dot_products(one)).latency}

        shape = UnitShape(
            outputs,
            columns // groups,
            groups,
            1,
            self.height * self.width,
            parameters,
            None,
            {},
        )
        self._add(Stage(name, tuple(unit_options(shape)), shape.lead))
        self.channels, self.bits = outputs, bits

    def linear(
        self, name: str, outputs: int, kind: str, bits: int, *, logits: bool = False
    ) -> None:
        self.channels *= self.height * self.width
        self.height = self.width = 1
        self.convolution(name, outputs, 1, kind, bits, logits=logits)

    def max_pool(self, name: str) -> None:
        self._window(f"{name}_window", 2, 2, depthwise=1)
        self._words(
            name,
            4 * self.height * self.width,
            "max_pool",
            {"BITS": self.bits, "SIGNED": 0, "KERNEL_WORDS": 4},
            tied=True,
        )

    def add(self, name: str, other: int) -> None:
        """Sum with the output of an earlier stage; costs nothing here."""
        self._words(name, self.height * self.width, "", {}, inputs=2)
        self.links.append(Link(other, self.last, port=1))

    def problem(self) -> Problem:
        return Problem([*self.stages[:-1], with_output_fifo(self.stages[-1])], self.links)

    def _window(self, name: str, kernel: int, stride: int, depthwise: int) -> None:
        height, width = self.height, self.width
        self.height, self.width = ((n - kernel) // stride + 1 for n in (height, width))
        words = max(height * width, kernel * kernel * self.height * self.width)
        self._words(
            name,
            words,
            "sliding_window",
            {
                "HEIGHT": height,
                "IMAGE_WIDTH": width,
                "KERNEL_HEIGHT": kernel,
                "KERNEL_WIDTH": kernel,
                "STRIDE_HEIGHT": stride,
                "STRIDE_WIDTH": stride,
                "DILATION_HEIGHT": 1,
                "DILATION_WIDTH": 1,
                "DEPTHWISE": depthwise,
                "WHOLE_ROWS": 0,
            },
            lead=ceil(1024 * ((kernel - 1) * width + kernel) / (height * width)),
        )

    def _words(
        self,
        name: str,
        words: int,
        operator: str,
        parameters: dict[str, int],
        *,
        lead: int = 1,
        tied: bool = False,
        inputs: int = 1,
    ) -> None:
        options = []
        for simd in divisors(self.channels):
            fold, bits = self.channels // simd, simd * self.bits
            spent = fifo_cost(bits)
            if operator:
                sizes = {"WIDTH": bits, "FOLD": fold, "PE": simd}
                spent = spent.plus(cost(operator, sizes | parameters))
            options.append(
                Option(words * fold, spent, (bits,) * inputs, bits, fold, {"SIMD": simd})
            )
        self._add(Stage(name, tuple(options), lead), tied=tied)

    def _add(self, stage: Stage, *, tied: bool = False) -> None:
        self.stages.append(stage)
        if self.last >= 0:
            self.links.append(Link(self.last, len(self.stages) - 1, tied=tied))
        self.last = len(self.stages) - 1


def cnv(kind: str = "xnor", bits: int = 1, *, scaled: bool = False) -> Problem:
    """BNN-PYNQ's CNV on 32x32 RGB images of 8 bits."""
    network = PlainNetwork(32, 32, 3, 8)
    first = "binary" if kind == "xnor" else kind
    network.convolution("conv1", 64, 3, first, bits, scaled=scaled)
    network.convolution("conv2", 64, 3, kind, bits, scaled=scaled)
    network.max_pool("pool1")
    network.convolution("conv3", 128, 3, kind, bits, scaled=scaled)
    network.convolution("conv4", 128, 3, kind, bits, scaled=scaled)
    network.max_pool("pool2")
    network.convolution("conv5", 256, 3, kind, bits, scaled=scaled)
    network.convolution("conv6", 256, 3, kind, bits, scaled=scaled)
    network.linear("fc1", 512, kind, bits)
    network.linear("fc2", 512, kind, bits)
    network.linear("fc3", 10, kind, 16, logits=True)
    return network.problem()


def resnet20(kind: str = "ternary", bits: int = 2) -> Problem:
    """ResNet-20 on 32x32 RGB images, identity and 1x1 shortcuts."""
    network = PlainNetwork(32, 32, 3, 8)
    network.convolution("stem", 16, 3, kind, bits, pad=1)
    for group, channels in enumerate((16, 32, 64)):
        for block in range(3):
            name, source = f"block{group}{block}", network.last
            stride = 2 if group and not block else 1
            network.convolution(f"{name}_conv1", channels, 3, kind, bits, pad=1, stride=stride)
            network.convolution(f"{name}_conv2", channels, 3, kind, bits, pad=1)
            network.add(f"{name}_add", source)
    network.linear("fc", 10, kind, 16, logits=True)
    return network.problem()


BOARD = Cost(53_200, 106_400, 140, 220)
