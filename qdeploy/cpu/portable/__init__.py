# SPDX-License-Identifier: Apache-2.0
"""The portable form: standard ONNX operators that stock ONNX Runtime runs exactly."""
