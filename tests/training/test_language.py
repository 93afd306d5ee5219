# SPDX-License-Identifier: Apache-2.0
"""Language models learn what the next token is."""

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rich.progress import Progress  # noqa: E402

from qdeploy.errors import UserError  # noqa: E402
from qdeploy.exporter import export  # noqa: E402
from qdeploy.integer import run  # noqa: E402
from qdeploy.lowering import lower  # noqa: E402
from qdeploy.networks import NetworkConfig, build_network  # noqa: E402
from qdeploy.networks.lstm import CharacterLstm  # noqa: E402
from qdeploy.quantizers.config import quantization_config  # noqa: E402
from qdeploy.training import predict, train  # noqa: E402
from qdeploy.training.config import DataConfig, TrainingConfig  # noqa: E402
from qdeploy.training.datasets import load as load_data  # noqa: E402
from qdeploy.training.devices import Device  # noqa: E402
from qdeploy.training.fitting import fit  # noqa: E402
from qdeploy.training.language import LanguageModeling  # noqa: E402
from qdeploy.training.phases import Phase  # noqa: E402
from qdeploy.training.text import Text, load_text  # noqa: E402


def cycle(length: int) -> Text:
    tokens = np.arange(length) % 5
    return Text(tokens, tokens[:300], tokens[:400], tuple("abcde"))


def test_metrics_of_a_uniform_guess() -> None:
    network = CharacterLstm(5, 4)
    torch.nn.init.zeros_(network.decoder.weight)
    torch.nn.init.zeros_(network.decoder.bias)
    assert LanguageModeling(cycle(100), 7, 4).evaluate(network) == pytest.approx(math.log(5))
    task = LanguageModeling(cycle(100), 7, 4, "perplexity")
    assert task.evaluate(network) == pytest.approx(5)
    assert network.training


def test_state_is_carried() -> None:
    """However the text is cut, the perplexity is the same."""
    torch.manual_seed(0)
    text = load_text("phrases")
    network = CharacterLstm(len(text.vocabulary), 16)
    short, long = (
        LanguageModeling(text, steps, 4, "perplexity").evaluate(network) for steps in (3, 1000)
    )
    assert short == pytest.approx(long, rel=1e-5)
    assert LanguageModeling(text, 3, 4).evaluate(network) != pytest.approx(math.log(long), rel=1e-5)


def test_trains_in_the_loop() -> None:
    text = load_text("phrases")
    short = Text(text.train[:8000], text.validation, text.test[:2000], text.vocabulary)
    torch.manual_seed(0)
    network = CharacterLstm(len(text.vocabulary), 32)
    task = LanguageModeling(short, 40, 20)
    before = task.evaluate(network)
    phase = Phase(
        name="float", epochs=3, optimizer=lambda n: torch.optim.Adam(n.parameters(), 0.02)
    )
    device = Device(torch.device("cpu"), 0, 1)
    history = fit(network, task, [phase], device, Progress(disable=True))
    assert before == pytest.approx(math.log(20), abs=0.2)
    assert history[-1].metric < before - 0.5
    assert history[-1].metric == task.evaluate(network)


def test_recipe_of_a_text(tmp_path: Path) -> None:
    quantization = quantization_config(method="laq", weights="binary", activations=4)
    training = TrainingConfig(float_epochs=10, epochs=1, batch_size=20, learning_rate=0.05)
    data = DataConfig(dataset="phrases", samples=40)
    network = NetworkConfig(name="char_lstm", channels=(6,))
    result = train(data, network, quantization, training, tmp_path)
    assert 0.05 < result.accuracy < 1
    x = load_data("phrases").x_test[:3]
    export(result.checkpoint, tmp_path / "net.onnx")
    integers = lower(tmp_path / "net.onnx")
    got = integers.real_output(run(integers, x))
    assert np.allclose(predict(result.checkpoint, x), got, atol=1e-6)


def test_texts_and_images_are_not_mixed(tmp_path: Path) -> None:
    training = TrainingConfig(float_epochs=1, epochs=1)
    for dataset, name in (("phrases", "tfc"), ("digits", "char_lstm")):
        with pytest.raises(UserError, match="the data are none"):
            train(
                DataConfig(dataset=dataset),
                NetworkConfig(name=name),
                quantization_config(),
                training,
                tmp_path,
            )


def test_language_models_of_a_table() -> None:
    with pytest.raises(UserError, match="unknown tokens"):
        build_network(NetworkConfig(name="word_lstm"))
    with pytest.raises(UserError, match="2 sizes"):
        build_network(NetworkConfig(name="char_lstm", vocabulary=9, channels=(3, 4)))
    model = build_network(NetworkConfig(name="word_lstm", vocabulary=9, channels=(3,)))
    assert model(torch.zeros(2, 4, dtype=torch.int64)).shape == (2, 4, 9)
