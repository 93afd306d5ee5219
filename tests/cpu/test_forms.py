# SPDX-License-Identifier: Apache-2.0
"""The two forms of a packed model: equal integers, whoever loads the file."""

import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, compose, helper
from random_networks import inputs
from sample_networks import small_cnn

from qdeploy import integer
from qdeploy.cpu import NoFastForm, Session, pack, use_kernels
from qdeploy.integer import IntegerNetwork

llvmlite = pytest.importorskip("llvmlite")
NETWORK = small_cnn()
PROVIDERS = ["CPUExecutionProvider"]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(NETWORK, tmp_path_factory.mktemp("packed") / "cpu.onnx").path


def kernels(content: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    use_kernels(options, content, threads)
    return onnxruntime.InferenceSession(content, options, providers=PROVIDERS)


@pytest.mark.parametrize("threads", [0, 1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 40])
def test_both_forms_give_the_same(packed: Path, threads: int, count: int) -> None:
    fast, portable = Session(packed, threads), Session(packed, threads, portable=True)
    assert "generated" in fast.form
    assert portable.form == "portable form"
    x = inputs(NETWORK, count)
    assert np.array_equal(fast.run_integers(x), portable.run_integers(x))
    assert np.array_equal(fast.run(x), portable.run(x))


def test_batches_beyond_one_arena(packed: Path) -> None:
    x = inputs(NETWORK, 300)
    (got,) = kernels(packed.read_bytes(), 2).run(["logits_integer"], {"image": x})
    assert np.array_equal(got, integer.run(NETWORK, x))


def test_a_file_without_kernels_runs_on_stock_onnx_runtime(packed: Path) -> None:
    session = onnxruntime.InferenceSession(str(packed), providers=PROVIDERS)
    x = inputs(NETWORK, 4)
    assert np.array_equal(session.run(["logits_integer"], {"image": x})[0], integer.run(NETWORK, x))


def test_operators_before_and_after(packed: Path) -> None:
    """The model as a part of another one."""
    model = onnx.load(packed)
    opset = model.opset_import
    before = helper.make_model(
        helper.make_graph(
            [helper.make_node("Div", ["pixels", "full"], ["scaled"])],
            "before",
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 1, 8, 8])],
            [helper.make_tensor_value_info("scaled", TensorProto.FLOAT, ["N", 1, 8, 8])],
            [helper.make_tensor("full", TensorProto.FLOAT, [], [4.0])],
        ),
        opset_imports=opset,
        ir_version=model.ir_version,
    )
    after = helper.make_model(
        helper.make_graph(
            [helper.make_node("ArgMax", ["scores"], ["class"], axis=1)],
            "after",
            [helper.make_tensor_value_info("scores", TensorProto.INT64, ["N", 10])],
            [helper.make_tensor_value_info("class", TensorProto.INT64, ["N", 1])],
        ),
        opset_imports=opset,
        ir_version=model.ir_version,
    )
    joined = compose.merge_models(before, model, [("scaled", "image")])
    joined = compose.merge_models(joined, after, [("logits_integer", "scores")])
    x = inputs(NETWORK, 6)
    expected = integer.run(NETWORK, (4 * x) / np.float32(4)).argmax(axis=1, keepdims=True)
    content = joined.SerializeToString()
    stock = onnxruntime.InferenceSession(content, providers=PROVIDERS)
    for session in (stock, kernels(content)):
        assert np.array_equal(session.run(["class"], {"pixels": 4 * x})[0], expected)


def test_a_shape_that_does_not_fit(packed: Path) -> None:
    """Where the graph around does not know the shape, the kernel looks."""
    model = onnx.load(packed)
    del model.graph.input[0].type.tensor_type.shape.dim[:]
    model.graph.input[0].type.tensor_type.ClearField("shape")
    session = kernels(model.SerializeToString())
    for shape in [(1, 1, 8, 9), (1, 8, 8), (8,), (1, 2, 8, 8), (2, 1, 8, 8, 1)]:
        with pytest.raises(Exception, match=r"input must have shape \[N, 1, 8, 8\]"):
            session.run(None, {"image": np.zeros(shape, np.float32)})
    x = inputs(NETWORK, 2)
    assert np.array_equal(session.run(None, {"image": x})[1], integer.run(NETWORK, x))


def test_many_threads_and_sessions(packed: Path) -> None:
    content, x = packed.read_bytes(), inputs(NETWORK, 7)
    expected = integer.run(NETWORK, x)
    sessions = [kernels(content, threads) for threads in (1, 2)]
    failures = []

    def work(session: onnxruntime.InferenceSession) -> None:
        for _ in range(30):
            if not np.array_equal(session.run(None, {"image": x})[1], expected):
                failures.append(session)

    workers = [threading.Thread(target=work, args=(sessions[k % 2],)) for k in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


def test_without_llvmlite(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    session = Session(packed)
    assert session.form == "portable form (llvmlite is not installed)"
    x = inputs(NETWORK, 2)
    assert np.array_equal(session.run_integers(x), integer.run(NETWORK, x))


def test_on_other_processors(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdeploy.cpu.kernels.targets.host_targets", lambda: ())
    with pytest.raises(NoFastForm, match="no kernels for"):
        use_kernels(onnxruntime.SessionOptions(), packed.read_bytes())
    assert Session(packed).form.startswith("portable form (there are no kernels")


def test_programs_are_compiled_once(
    packed: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Session(packed)
    programs = list((cache / "qdeploy" / "programs").iterdir())
    assert programs

    def compile_again(network: IntegerNetwork, target: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr("qdeploy.cpu.program.cache.compile_program", compile_again)
    assert "generated" in Session(packed).form
    for program in programs:
        program.chmod(0o666)  # others might have changed it
    with pytest.raises(AssertionError, match="compiled again"):
        Session(packed)
    for program in programs:
        program.chmod(0o600)
        program.write_bytes(b"not a program")
    with pytest.raises(AssertionError, match="compiled again"):
        Session(packed)


def test_the_cache_folder_is_private(packed: Path, cache: Path) -> None:
    Session(packed)
    folder = cache / "qdeploy" / "programs"
    assert folder.stat().st_mode & 0o077 == 0
    assert all(program.stat().st_mode & 0o077 == 0 for program in folder.glob("*.npz"))
