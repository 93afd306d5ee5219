# SPDX-License-Identifier: Apache-2.0
"""`finn build` where Vivado is missing: FINN's own builder, with tools that only take notes.

As a program: what `finn build` does with a configuration and a model, without its look for XSI, for
every folder that its input names, since to import FINN takes longer than most builds. The tools
leave the files that FINN waits for, empty; they prove the flow and its Tcl, no synthesis.
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


class FinnBuilds:
    """A process of FINN that makes builds one after the other."""

    def __init__(self, scratch: Path) -> None:
        self.calls, self.output = scratch / "calls.txt", scratch / "output.txt"
        tools = scratch / "tools"
        for path in (tools, scratch / "finn"):
            path.mkdir(parents=True)
        for name in ("vivado", "vitis_hls"):
            (tools / name).write_text(_TOOL.format(python=sys.executable, log=str(self.calls)))
            (tools / name).chmod(0o755)
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, __file__],
                env=os.environ
                | {
                    "FINN_BUILD_DIR": str(scratch / "finn"),
                    "FINN_TOOL_DIR_OVERRIDE": str(tools),
                    "NUM_DEFAULT_WORKERS": "2",
                    "PYTHONPATH": str(Path(__file__).parents[2]),
                    "XILINX_VIVADO": "/missing/Vivado/2024.2",
                    "XILINX_HLS": "/missing/Vitis_HLS/2024.2",
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )

    def run(self, folder: Path) -> list[tuple[str, Path]]:
        """Build what `emit_finn` wrote; returns the calls of vendor tools: name and script."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.calls.write_text("")
        print(folder, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "0\n", self.output.read_text()[-8000:]
        calls = [line.split() for line in self.calls.read_text().splitlines()]
        return [(tool, Path(script)) for tool, script in calls]

    def close(self) -> None:
        assert self.process.communicate() == ("", None)


def expect_finished_files() -> None:
    """FINN looks at every file for 50 ms, whether it grows; those of our tools do not."""
    from finn.util import basic

    timeout, _, _, kind = basic.wait_for_file.__defaults__
    basic.wait_for_file.__defaults__ = (timeout, 0.0, 0.001, kind)


def main() -> None:
    """Exit codes of builds go to standard output, whatever else FINN prints to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import finn.xsi

    for name in finn.xsi._LAZY_NAMES - vars(finn.xsi).keys():
        setattr(finn.xsi, name, object)
    from finn.builder.build_dataflow import build_dataflow_cfg
    from finn.builder.build_dataflow_config import DataflowBuildConfig
    from finn.util.multiprocessing import configure_start_method

    for line in sys.stdin:
        os.chdir(line.strip())
        configure_start_method()
        configuration = DataflowBuildConfig.construct_from(Path("build.json"))
        configuration.verify_steps = None  # the only one is the simulation of the stitched IP
        print(build_dataflow_cfg("model.onnx", configuration), file=answers, flush=True)


if __name__ in ("__main__", "__mp_main__"):  # FINN's workers, too
    expect_finished_files()
if __name__ == "__main__":
    main()
