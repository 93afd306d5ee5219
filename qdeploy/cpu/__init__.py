# SPDX-License-Identifier: Apache-2.0
"""The CPU back end: an integer network as one packed ONNX file, and a session that runs it."""

from qdeploy.cpu.fast import NoFastForm, use_kernels
from qdeploy.cpu.lstm.session import LstmSession
from qdeploy.cpu.model import PackedModel, pack
from qdeploy.cpu.packing import information_bits
from qdeploy.cpu.portable.emission import to_onnx
from qdeploy.cpu.portable.lstm import lstm_to_onnx
from qdeploy.cpu.session import Session

__all__ = [
    "LstmSession",
    "NoFastForm",
    "PackedModel",
    "Session",
    "information_bits",
    "lstm_to_onnx",
    "pack",
    "to_onnx",
    "use_kernels",
]
