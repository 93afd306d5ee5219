# SPDX-License-Identifier: Apache-2.0
"""Fits the resource model to Yosys: samples operators, synthesizes them, writes the coefficients.

    python benchmarks/fit_resources.py fifo arg_max      # synthesize these again, then fit
    python benchmarks/fit_resources.py --fit-only        # fit to the stored results

Results of Yosys are kept in benchmarks/resource_samples.json, the coefficients in
qdeploy/fpga/resources/coefficients.json. Every third sample is not in the fit; the errors printed
are those of these.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from random_operators import SAMPLERS  # noqa: E402

from qdeploy.fpga.board import hardware_directory  # noqa: E402
from qdeploy.fpga.matrix_vector.module import OPERATORS, Unit, unit_files  # noqa: E402
from qdeploy.fpga.resources import Cost  # noqa: E402
from qdeploy.fpga.resources.model import _coefficients as known_coefficients  # noqa: E402
from qdeploy.fpga.resources.model import cost, operators, terms  # noqa: E402
from qdeploy.fpga.synthesis import netlists  # noqa: E402
from qdeploy.fpga.usage import usage  # noqa: E402

SAMPLES = ROOT / "benchmarks" / "resource_samples.json"
COEFFICIENTS = ROOT / "qdeploy" / "fpga" / "resources" / "coefficients.json"
HELD_OUT = 3  # every third
PER_RUN = 12  # instances per start of Yosys
RESOURCES = ("lut", "ff", "bram36", "dsp")


def main() -> None:
    """Synthesize what is asked for, fit everything, print the errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("operators", nargs="*", help="modules of hw/rtl; by default all")
    parser.add_argument("--samples", type=int, default=36, help="of each operator")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fit-only", action="store_true")
    parser.add_argument("--json", type=Path, help="write the errors here")
    options = parser.parse_args()
    samples = json.loads(SAMPLES.read_text()) if SAMPLES.exists() else {}
    for operator in [] if options.fit_only else options.operators or operators():
        samples[operator] = []
        for batch in measured(operator, options.samples, options.seed):
            samples[operator] += batch
            SAMPLES.write_text(_lines(samples))
    coefficients = {operator: fitted(operator, samples[operator]) for operator in samples}
    COEFFICIENTS.write_text(json.dumps(coefficients, indent=2) + "\n")
    known_coefficients.cache_clear()
    errors = {operator: held_out_errors(operator, samples[operator]) for operator in samples}
    print(f"a prediction takes {_microseconds(samples):.0f} microseconds")
    print(f"{'operator':20} {'mean LUT':>9} {'worst':>6} {'mean FF':>8} {'worst':>6}  BRAM, DSP")
    for operator, error in errors.items():
        print(
            f"{operator:20} {error['lut_mean']:9.1%} {error['lut_worst']:6.1%} "
            f"{error['ff_mean']:8.1%} {error['ff_worst']:6.1%}  {error['wrong']} wrong"
        )
    if options.json:
        options.json.write_text(json.dumps(errors, indent=2) + "\n")


def _microseconds(samples: dict[str, list[dict]]) -> float:
    """Mean time of `cost` over all samples, trees counted already."""
    known = [(operator, s["parameters"]) for operator, rows in samples.items() for s in rows]
    for case in known:
        cost(*case)
    start = time.perf_counter()
    for case in known:
        cost(*case)
    return 1e6 * (time.perf_counter() - start) / len(known)


def measured(operator: str, count: int, seed: int) -> Iterator[list[dict]]:
    """Parameters and Yosys' results of at most `count` random instances, in batches."""
    rng = random.Random(seed)  # noqa: S311 (no secret)
    drawn = (SAMPLERS[operator](rng) for _ in range(count))
    instances = list({str(_parameters(instance)): instance for instance in drawn}.values())
    for start in range(0, len(instances), PER_RUN):
        batch = instances[start : start + PER_RUN]
        with tempfile.TemporaryDirectory() as folder:
            used = _synthesized(operator, batch, Path(folder))
        print(f"{operator}: {start + len(batch)} of {len(instances)}", flush=True)
        yield [
            {"parameters": _parameters(instance)} | usage(module).model_dump(include=set(RESOURCES))
            for instance, module in zip(batch, used, strict=True)
        ]


def _parameters(instance: Unit | dict) -> dict:
    return instance.parameters() if isinstance(instance, Unit) else instance


def _synthesized(operator: str, batch: Sequence[Unit | dict], directory: Path) -> list[dict]:
    """The modules of instances, none optimized with another."""
    for path in (hardware_directory() / "rtl").glob("*.v"):
        shutil.copyfile(path, directory / path.name)
    files, lines = dict.fromkeys(f"{name}.v" for name in (*OPERATORS, operator)), []
    for i, instance in enumerate(batch):
        if isinstance(instance, Unit):
            name = f"sample{i}"
            instance.write(directory, name)
            files |= dict.fromkeys(unit_files(name, scaled=instance.matrix.scaled))
            lines.append(name)
        else:
            values = ", ".join(f".{key}({value})" for key, value in instance.items())
            lines.append(f"{operator} #({values})")
    return netlists(files, lines, directory)


def fitted(operator: str, samples: Sequence[dict]) -> dict[str, dict[str, float]]:
    """Coefficients of least relative error, none negative."""
    fit = [sample for i, sample in enumerate(samples) if i % HELD_OUT]
    made_of = [terms(operator, sample["parameters"]) for sample in fit]
    coefficients = {}
    for resource in ("lut", "ff"):
        names = list(getattr(made_of[0], resource))
        rows = np.array([[getattr(t, resource)[n] for n in names] for t in made_of], float)
        total = np.array([sample[resource] for sample in fit], float)
        counted = np.array([getattr(t.counted, resource) for t in made_of])
        counted += [getattr(_scales(sample["parameters"]), resource) for sample in fit]
        weight = 1 / np.maximum(total, 1)
        values, _ = nnls(rows * weight[:, np.newaxis], (total - counted) * weight)
        coefficients[resource] = {n: round(float(v), 4) for n, v in zip(names, values, strict=True)}
    return coefficients


def _scales(parameters: dict) -> Cost:
    """What multiplies the elements of a unit; it has coefficients of its own."""
    scaled = "MW" in parameters and "SCALED_BITS" in parameters
    return cost("element_scale", parameters) if scaled else Cost()


def held_out_errors(operator: str, samples: Sequence[dict]) -> dict[str, float]:
    """Relative errors on the samples that were not in the fit."""
    held = samples[::HELD_OUT]
    predicted = [cost(operator, sample["parameters"]) for sample in held]
    result: dict[str, float] = {}
    for resource in ("lut", "ff"):
        error = [
            abs(getattr(p, resource) - s[resource]) / max(1, s[resource])
            for p, s in zip(predicted, held, strict=True)
        ]
        result |= {f"{resource}_mean": float(np.mean(error)), f"{resource}_worst": max(error)}
    wrong = sum(
        p.bram36 != s["bram36"] or p.dsp != s["dsp"] for p, s in zip(predicted, held, strict=True)
    )
    return result | {"wrong": wrong}


def _lines(samples: dict[str, list[dict]]) -> str:
    """One sample per line."""
    parts = (
        f"{json.dumps(operator)}: [\n" + ",\n".join(f"  {json.dumps(s)}" for s in rows) + "\n]"
        for operator, rows in samples.items()
    )
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
