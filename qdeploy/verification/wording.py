# SPDX-License-Identifier: Apache-2.0
"""A verification in sentences, the same in the terminal and in the report."""

from __future__ import annotations

from qdeploy.verification.contents import Extremes, Rescaling, SourceComparison, Verification

# Operators whose width costs: sums. The others select or move integers.
SUMS = ("Convolution", "Linear", "Add", "SumPool")


def sentences(found: Verification) -> list[str]:
    """One paragraph for each comparison that was made."""
    lines = []
    if found.source is not None:
        lines.append(f"Source file: {source_sentence(found.source)}")
    if found.rescaling is not None:
        lines.append(f"Rounded scales: {rescaling_sentence(found.rescaling)}")
    equal = " and ".join(found.compared) or "no back end"
    lines.append(
        f"Back ends: {equal} {'equal' if len(found.compared) > 1 else 'equals'} the integer "
        f"reference on {found.frames:,} samples."
    )
    lines.append(f"Ranges: {ranges_sentence(found.extremes)}")
    if found.simulated_frames_per_second:
        lines.append(
            f"Simulation: {found.simulated_frames_per_second:,.1f} frames/s, "
            f"{found.simulated_cycles_per_second:,.0f} cycles/s."
        )
    if found.slowed_by:
        lines.append(f"The accelerator is slower than predicted: {found.slowed_by}.")
    return lines


def source_sentence(source: SourceComparison) -> str:
    """What float32 and exact rationals say of the source file."""
    if source.skipped:
        words = f"not executed in float32 ({source.skipped})."
    else:
        words = (
            f"in {source.differing:,} of {source.frames:,} samples float32 execution (qonnx) gives "
            f"another output than the integers."
        )
        if source.largest_error is not None:
            words += f" Its outputs are off by at most {source.largest_error:.3g}."
    if source.exact_skipped:
        return f"{words} Exact rationals were not computed ({source.exact_skipped})."
    if source.rescaled:
        return f"{words} Scales were rounded, so the integers are not the file exactly."
    words += (
        f" In exact rationals {source.exact_frames:,} samples were executed and the integers are "
        f"right in all of them"
    )
    if source.differing:
        words += f", {source.proven:,} of the {source.differing:,} that differ included: there "
        words += "float32 is wrong"
    return f"{words}."


def rescaling_sentence(rescaling: Rescaling) -> str:
    """How large the error of rounded scales is on the samples."""
    what = "random samples" if rescaling.random else "samples"
    parts = []
    if rescaling.largest is not None and rescaling.mean is not None:
        spread = rescaling.spread or 1.0
        parts.append(
            f"outputs are off by at most {rescaling.largest:.3g} and by {rescaling.mean:.3g} on "
            f"average ({rescaling.largest / spread:.2%} and {rescaling.mean / spread:.2%} of their "
            f"spread)"
        )
    if rescaling.changed_classes is not None:
        parts.append(f"{rescaling.changed_classes:,} classes change")
    return f"measured on {rescaling.frames:,} {what} against exact rationals, {', '.join(parts)}."


def ranges_sentence(extremes: list[Extremes]) -> str:
    """Whether every tensor kept its range, and which is furthest from filling it."""
    words = f"all {len(extremes):,} tensors stay within what the analysis promised"
    sums = [tensor for tensor in extremes if tensor.kind in SUMS]
    if not sums:
        return f"{words}."
    widest = max(sums, key=lambda tensor: tensor.bits - tensor.observed_bits)
    return f"{words}; the widest slack is in {widest.layer}, {range_words(widest)}."


def range_words(tensor: Extremes) -> str:
    """Promised and observed range of one tensor."""
    return (
        f"promised {tensor.low}..{tensor.high} ({tensor.bits} bits), "
        f"seen {tensor.observed_low}..{tensor.observed_high} ({tensor.observed_bits} bits)"
    )
