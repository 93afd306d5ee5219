# SPDX-License-Identifier: Apache-2.0
"""Table [quantization] of a build file; imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    Tag,
    TypeAdapter,
    ValidationError,
)

from qdeploy.errors import UserError

Bits = Annotated[int, Field(ge=1, le=8)]


class _Quantization(BaseModel):
    """What all methods share.

    Attributes:
        activations: bits of the unsigned activations after each ReLU; with one bit activations are
            signs, -1 or +1; None leaves activations as they are (for experiments: such a network
            has no integers).
        input_bits: of the network's input, which lies in 0 .. 1; None quantizes no input. One bit
            says whether it is above a half. By default what the network's attribute `input_bits`
            says (0 for none), 8 without one.
        first_and_last: weights of the first and the last layer, in the order in which the module
            registers them: like the others ("quantized") or 8 bits with one scale ("int8").
        layers: other values of these keys for single layers, by name: of weights, of an activation
            ({"act1": {"activations": 4}}). `{"weights": "int8"}` gives 8 bits with one scale,
            `{"weights": "float"}` leaves a layer as it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    activations: Bits | None = 2
    input_bits: Bits | None = 8
    first_and_last: Literal["quantized", "int8"] = "quantized"
    layers: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @property
    def training_code(self) -> tuple[str, ...]:
        """Modules and subpackages of qdeploy that decide what a training results in."""
        return ("networks", "quantizers", "training")


class SyqConfig(_Quantization):
    """Learned symmetric scales (Faraone et al., arXiv 1807.00301).

    Attributes:
        weights: codes.
        granularity: which weights of a 2-D convolution share a scale; other layers have one each.
    """

    method: Literal["syq"] = "syq"
    weights: Literal["binary", "ternary", "int8", "float"] = "ternary"
    granularity: Literal["layer", "row", "pixel"] = "pixel"


class RetrainingConfig(_Quantization):
    """Iterative retraining of multi-bit codes (Lee & Kim, arXiv 1805.11233).

    Attributes:
        weights: sums of `bits` bases per output channel.
        bits: see above.
        solver: how the bases are found.
        pruned: share of each layer's weights that become 0.
        rounds: of quantizing and training in full precision; they share `training.epochs`.
    """

    method: Literal["retraining"]
    weights: Literal["multibit", "int8", "float"] = "multibit"
    bits: Annotated[int, Field(ge=1, le=4)] = 2
    solver: Literal["greedy", "refined", "alternating"] = "alternating"
    pruned: Annotated[float, Field(ge=0, lt=1)] = 0.0
    rounds: PositiveInt = 4


class AlqConfig(_Quantization):
    """Adaptive loss-aware quantization (Qu et al., arXiv 1912.08883).

    Attributes:
        weights: groups of weights with bases of their own.
        structure: of the groups of convolutions.
        pieces: into which each output channel of a fully connected layer is cut, or the next
            smaller number that divides its inputs.
        bits: largest number of bases of a group, at the start.
        rounds: of training bases, scales, and pruning.
        pruning: each round leaves exp(-pruning) of the bases.
        fine_tuning: whether float weights choose the codes afterwards.
        activation_levels: of ReLUs, "uniform" or sums of scales that follow the activations.
    """

    method: Literal["alq"]
    weights: Literal["alq", "int8", "float"] = "alq"
    structure: Literal["kernelwise", "pixelwise", "channelwise"] = "channelwise"
    pieces: PositiveInt = 1
    bits: Bits = 6
    rounds: PositiveInt = 4
    pruning: PositiveFloat = 0.5
    fine_tuning: bool = True
    activation_levels: Literal["uniform", "multibit"] = "uniform"


class LaqConfig(_Quantization):
    """Loss-aware quantization (Hou and Kwok, arXiv 1802.08635); one scale per layer.

    Attributes:
        weights: codes; "two-scale" are ternary ones with one scale for -1 and one for +1.
        bits: of linear (2 to 8) and logarithmic (2 to 5) codes.
        solver: of ternary codes: "exact" sorts all weights of a layer in every step.
        scale_rule: of linear and logarithmic codes: least squares, or what the authors' code does.
    """

    method: Literal["laq"]
    weights: Literal["binary", "ternary", "two-scale", "linear", "logarithmic", "int8", "float"] = (
        "ternary"
    )
    bits: Annotated[int, Field(ge=2, le=8)] = 3
    solver: Literal["exact", "approximate"] = "approximate"
    scale_rule: Literal["ls", "l1"] = "ls"


class BrevitasConfig(_Quantization):
    """Brevitas' own quantizers with one scale per layer, for comparison.

    Attributes:
        weights: codes.
    """

    method: Literal["brevitas"]
    weights: Literal["binary", "ternary", "int8", "float"] = "ternary"


class FractionalBitsConfig(_Quantization):
    """Bit widths by gradient descent under a budget (after Cheng et al., arXiv 1810.10351).

    Attributes:
        weights: as learned.
        budget: of what: average "bits" per weight, "luts" of the board at `fps` (block RAMs and DSP
            slices count as the LUTs of their share of the board), "cycles" per frame when `fill` of
            the board is used, or "cpu-time" of this machine, one thread.
        amount: bits, LUTs, cycles or microseconds.
        board: name of a file in hw/boards.
        fps: frames per second.
        fill: share of the board that may be used.
        search: share of the epochs in which the widths are learned; in the others they stay.
    """

    method: Literal["fractional-bits"]
    weights: Literal["learned", "int8", "float"] = "learned"
    budget: Literal["bits", "luts", "cycles", "cpu-time"] = "bits"
    amount: PositiveFloat
    board: str = "pynq-z2"
    fps: PositiveFloat = 10_000.0
    fill: float = Field(default=0.8, gt=0, le=1)
    search: float = Field(default=0.6, gt=0, lt=1)

    @property
    def training_code(self) -> tuple[str, ...]:
        """Of other budgets than bits also the compiler, which tells what layers cost."""
        common = super().training_code
        if self.budget == "bits":
            return common
        return (
            *common,
            "exporter",
            "lowering",
            "integer",
            "cpu" if self.budget == "cpu-time" else "fpga",
        )


def _method(values: Any) -> Any:
    return values.get("method", "syq") if isinstance(values, dict) else values.method


QuantizationConfig = Annotated[
    Annotated[SyqConfig, Tag("syq")]
    | Annotated[RetrainingConfig, Tag("retraining")]
    | Annotated[AlqConfig, Tag("alq")]
    | Annotated[LaqConfig, Tag("laq")]
    | Annotated[FractionalBitsConfig, Tag("fractional-bits")]
    | Annotated[BrevitasConfig, Tag("brevitas")],
    Discriminator(_method),
]
_ADAPTER: TypeAdapter[QuantizationConfig] = TypeAdapter(QuantizationConfig)


def quantization_config(**values: Any) -> QuantizationConfig:
    """Check values of table [quantization] that come from a Python call.

    Raises:
        UserError: if a key is unknown or a value is wrong.
    """
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        raise UserError(complaints(error), remedy="docs/formats.md has all keys") from error


def of_layer(config: QuantizationConfig, name: str) -> QuantizationConfig:
    """The values that hold for one layer.

    Raises:
        UserError: if its own ones are wrong.
    """
    if name not in config.layers:
        return config
    try:
        values = config.model_dump() | {"layers": {}} | config.layers[name]
        return type(config).model_validate(values)
    except ValidationError as error:
        raise UserError(
            complaints(error), layer=name, remedy="docs/formats.md has all keys"
        ) from error


def complaints(error: ValidationError) -> str:
    """All of pydantic's complaints in one line."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))}: {item['msg']} (given: {item.get('input')!r})"
        for item in error.errors()
    )
