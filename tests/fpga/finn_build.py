# SPDX-License-Identifier: Apache-2.0
"""`finn build` where Vivado is missing: FINN's own builder, with tools that only take notes.

As a program: what `finn build` does with a configuration and a model, without its look for XSI.
The tools leave the files that FINN waits for, empty; they prove the flow and its Tcl, no synthesis.
"""

import os
import subprocess
import sys
from pathlib import Path

_TOOL = """\
#!{python}
import pathlib, re, sys
script, folder = pathlib.Path(sys.argv[-1]).resolve(), pathlib.Path.cwd()
with open({log!r}, "a") as log:
    print(pathlib.Path(sys.argv[0]).name, script, file=log)
text = script.read_text()
runs = folder / "finn_zynq_link.runs/impl_1"
for name in [
    *re.findall(r"add_files -norecurse (\\S+_wrapper\\.v)", text),
    runs / "top_wrapper.bit",
    runs / "top_wrapper_timing_summary_routed.rpt",
    folder / "finn_zynq_link.srcs/sources_1/bd/top/hw_handoff/top.hwh",
    folder / "synth_report.xml",
    folder / "all_verilog_srcs.txt",
]:
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("<report/>" if path.suffix == ".xml" else "")
for project in re.findall(r"set config_proj_name (\\S+)", text):
    (folder / project / "sol1/impl/ip").mkdir(parents=True, exist_ok=True)
"""


def run_finn_build(folder: Path, scratch: Path) -> list[tuple[str, Path]]:
    """Build what `emit_finn` wrote; returns the calls of vendor tools: name and script."""
    tools, log = scratch / "tools", scratch / "calls.txt"
    for path in (tools, scratch / "finn"):
        path.mkdir(parents=True)
    for name in ("vivado", "vitis_hls"):
        (tools / name).write_text(_TOOL.format(python=sys.executable, log=str(log)))
        (tools / name).chmod(0o755)
    done = subprocess.run(
        [sys.executable, __file__, "build.json", "model.onnx"],
        cwd=folder,
        env=os.environ
        | {
            "FINN_BUILD_DIR": str(scratch / "finn"),
            "FINN_TOOL_DIR_OVERRIDE": str(tools),
            "NUM_DEFAULT_WORKERS": "2",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "XILINX_VIVADO": "/missing/Vivado/2024.2",
            "XILINX_HLS": "/missing/Vitis_HLS/2024.2",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    calls = [line.split() for line in log.read_text().splitlines()]
    return [(tool, Path(script)) for tool, script in calls]


def main() -> int:
    import finn.xsi

    for name in finn.xsi._LAZY_NAMES - vars(finn.xsi).keys():
        setattr(finn.xsi, name, object)
    from finn.builder.build_dataflow import build_dataflow_cfg
    from finn.builder.build_dataflow_config import DataflowBuildConfig
    from finn.util.multiprocessing import configure_start_method

    configure_start_method()
    configuration = DataflowBuildConfig.construct_from(Path(sys.argv[1]))
    configuration.verify_steps = None  # the only one is the simulation of the stitched IP
    return build_dataflow_cfg(sys.argv[2], configuration)


if __name__ == "__main__":
    sys.exit(main())
