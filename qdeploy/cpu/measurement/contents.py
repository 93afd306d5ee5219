# SPDX-License-Identifier: Apache-2.0
"""What `qdeploy bench` measures, as data: printed as tables or as JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Latency(_Part):
    """One form of the network, batch 1, times in microseconds.

    Attributes:
        name: of the form, for people.
        p10, p50, p90, p99: percentiles of the wall-clock time of a call.
        processor: median time of a call without what other programs took; with several threads,
            which cannot be told apart that way, that on the wall.
        images_per_second: in batches of `Measurement.batch`, by the same clock.
        gmacs: giga multiplications a second, batch 1, by the same clock.
        bytes: size of the file.
    """

    name: str
    p10: float
    p50: float
    p90: float
    p99: float
    processor: float
    images_per_second: float
    gmacs: float
    bytes: int


class Layer(_Part):
    """A layer in generated kernels, one thread.

    Attributes:
        name: in the network, or "input" and "output".
        kernel: what computes it and why.
        macs: multiplications; 0 where nothing is multiplied.
        microseconds: 10th percentile.
        roofline: part of the speed that this core's instructions allow; None without
            multiplications.
    """

    name: str
    kernel: str
    macs: int
    microseconds: float
    roofline: float | None


class Loading(_Part):
    """From the file to a session that can run, milliseconds.

    Attributes:
        compiled: with the generation of the kernels.
        cached: with the kernels from the cache folder.
        first_call: the first run of that session.
    """

    compiled: float
    cached: float
    first_call: float


class Measurement(_Part):
    """A network on this machine.

    Attributes:
        network: its name.
        form: in which it runs, as `Session.form`.
        processor: name of this machine's.
        load: average number of busy programs in the last minute, ours included.
        onnxruntime: its version.
        threads: of every form.
        batch: images at once where throughput is measured.
        macs: multiplications of an image.
        information_bytes: what the network's codes, scales and thresholds hold.
        latencies: the packed model, then ONNX Runtime's int8 and float32 versions.
        in_float: layers that ONNX Runtime computes in float32 although they are int8.
        loading: None in the portable form.
        layers: those in generated kernels.
    """

    network: str
    form: str
    processor: str
    load: float
    onnxruntime: str
    threads: int
    batch: int
    macs: int
    information_bytes: float
    latencies: tuple[Latency, ...]
    in_float: tuple[str, ...]
    loading: Loading | None = None
    layers: tuple[Layer, ...] = ()
