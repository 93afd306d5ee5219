# SPDX-License-Identifier: Apache-2.0
"""Models that others trained, with the accuracy their authors state."""

import numpy as np
import pytest
from qonnx_files import execute
from third_party import mnist_test, models_directory

from qdeploy.integer import run
from qdeploy.lowering import lower


@pytest.mark.parametrize(("name", "correct"), [("tfc_2w2a", 9660), ("tfc_1w1a", 9296)])
def test_mnist_mlp_reaches_its_published_accuracy(name, correct):
    path = models_directory() / f"{name}.onnx"
    images, labels = mnist_test()
    network = lower(path)
    logits = run(network, images)
    assert (logits.argmax(axis=1) == labels).sum() == correct
    real = network.real_output(logits[:50])
    assert np.allclose(real, execute(path, images[:50]), rtol=1e-4, atol=1e-4)
