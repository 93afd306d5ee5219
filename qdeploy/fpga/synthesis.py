# SPDX-License-Identifier: Apache-2.0
"""Modules through Yosys, each flattened and optimized by itself.

In a stitched design FIFOs part the nodes, so nothing is lost if each is synthesized alone: equal
ones, as most FIFOs are, once, and a node that was synthesized before not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy.files import atomic_file, cache_folder, content_hash
from qdeploy.fpga.design import Design, DesignNode
from qdeploy.fpga.usage import Usage, usage
from qdeploy.fpga.yosys import run_yosys, yosys_version

# A start of Yosys costs three seconds, but the time per module grows with the modules of a run.
_RUN_LUTS = 2000
_CODE = [Path(__file__).parent / f"{name}.py" for name in ("sites", "synthesis", "usage")]


def netlists(
    files: Iterable[str], instances: Sequence[str], directory: Path, family: str = "xc7"
) -> list[dict[str, Any]]:
    """Mapped modules in Yosys' JSON format.

    Args:
        files: Verilog files in `directory`.
        instances: modules with parameters, as Verilog instantiates them: "fifo #(.WIDTH(8))".
        directory: what the files read lies there, too; two files are written into it.
        family: of the part, as `synth_xilinx` calls it.

    Raises:
        ToolError: if Yosys is missing or fails.
    """
    lines = (f"(* keep, keep_hierarchy *) {one} i{i} ();\n" for i, one in enumerate(instances))
    (directory / "all.v").write_text(f"module all ();\n{''.join(lines)}endmodule\n")
    script = (
        f"read_verilog -defer {' '.join(files)} all.v",
        "read_verilog -lib +/xilinx/cells_sim.v",
        "hierarchy -check -top all",
        f"synth_xilinx -family {family} -flatten -noiopad -noclkbuf -top all",
        "write_json all.json",
    )
    run_yosys("; ".join(script), directory)
    modules = json.loads((directory / "all.json").read_text())["modules"]
    cells = modules["all"]["cells"]
    return [modules[cells[f"i{i}"]["type"]] for i in range(len(instances))]


def node_usages(design: Design, directory: Path, family: str) -> dict[str, Usage]:
    """Usage of every node by its name; results are kept in the user's cache folder.

    Args:
        design: as loaded from `directory`.
        directory: the design folder.
        family: of the part.

    Raises:
        ToolError: if Yosys is missing or fails.
    """
    common = repr((yosys_version(), family, [content_hash(path) for path in _CODE]))
    sources = list(_sources(design, directory, common))
    cache = cache_folder("usages")
    missing = {}
    for source in sources:
        kept = cache / f"{source.digest}.json"
        if kept.exists():
            kept.touch()
        else:
            missing[source.digest] = source

    def synthesize(run: Sequence[_Source]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            files = dict.fromkeys(name for source in run for name in source.files)
            for name in (*files, *(name for source in run for name in source.memories)):
                shutil.copyfile(directory / name, Path(folder, name))
            modules = netlists(files, [s.node.module for s in run], Path(folder), family)
        for source, module in zip(run, modules, strict=True):
            with atomic_file(cache / f"{source.digest}.json") as partial:
                partial.write_text(usage(module).model_dump_json())

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(synthesize, _runs(missing.values())))
    return {
        source.node.name: Usage.model_validate_json((cache / f"{source.digest}.json").read_bytes())
        for source in sources
    }


@dataclass(frozen=True)
class _Source:
    """A node with the files that its module needs, in compile order.

    Nodes of the same `digest` have the same netlist but for names.
    """

    node: DesignNode
    files: tuple[str, ...]
    memories: tuple[str, ...]
    digest: str


def _sources(design: Design, directory: Path, common: str) -> Iterator[_Source]:
    """A file holds the module that it is named after."""
    texts = {
        Path(name).stem: re.sub(r"//.*", "", (directory / name).read_text())
        for name in design.files
    }
    words = {module: set(re.findall(r"\w+", text)) for module, text in texts.items()}
    memories = {Path(name).stem: name for name in design.memories}
    for node in design.nodes:
        used, waiting = {node.module}, {node.module}
        while waiting:
            found = words[waiting.pop()] & texts.keys() - used
            used |= found
            waiting |= found
        modules = [module for module in texts if module in used]
        read = [memories[word] for word in memories if any(word in words[m] for m in modules)]
        name = re.compile(rf"\b{re.escape(node.name)}")
        digest = hashlib.sha256(common.encode())
        for text in (*(texts[m] for m in modules), *(design.memories[file] for file in read)):
            digest.update(name.sub("@node", text).encode() + b"\0")
        yield _Source(node, tuple(f"{m}.v" for m in modules), tuple(read), digest.hexdigest())


def _runs(sources: Iterable[_Source]) -> list[list[_Source]]:
    """What to synthesize together: large ones alone and first, small ones together."""
    runs: list[list[_Source]] = []
    luts = 0.0
    for source in sorted(sources, key=lambda source: -source.node.predicted.lut):
        luts += source.node.predicted.lut
        if not runs or luts > _RUN_LUTS:
            runs.append([])
            luts = source.node.predicted.lut
        runs[-1].append(source)
    return runs
