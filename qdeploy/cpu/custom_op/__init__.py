# SPDX-License-Identifier: Apache-2.0
"""Generated programs as custom operators of ONNX Runtime, without its headers or a compiler."""
