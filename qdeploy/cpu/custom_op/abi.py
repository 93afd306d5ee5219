# SPDX-License-Identifier: Apache-2.0
"""What is used of ONNX Runtime's C interface: places in a table of functions that only grows.

Places are those of `OrtApi` in onnxruntime_c_api.h, fields those of its `OrtCustomOp`, version 16
(ONNX Runtime 1.16 and newer).
"""

from __future__ import annotations

import ctypes

VERSION = 16

# Places in OrtApi.
CREATE_STATUS = 0
CREATE_CUSTOM_OP_DOMAIN = 26
CUSTOM_OP_DOMAIN_ADD = 27
ADD_CUSTOM_OP_DOMAIN = 28
GET_TENSOR_MUTABLE_DATA = 51
GET_DIMENSIONS_COUNT = 61
GET_DIMENSIONS = 62
GET_TENSOR_TYPE_AND_SHAPE = 65
GET_INPUT = 90
GET_OUTPUT = 91
RELEASE_TENSOR_TYPE_AND_SHAPE = 99
PARALLEL_FOR = 274

# OrtErrorCode.
INVALID_ARGUMENT = 2
# OrtCustomOpInputOutputCharacteristic.
REQUIRED = 0


_FUNCTIONS = (
    "create_kernel",
    "get_name",
    "get_execution_provider",
    "get_input_type",
    "get_input_count",
    "get_output_type",
    "get_output_count",
    "compute",
    "destroy_kernel",
    "get_input_characteristic",
    "get_output_characteristic",
    "get_input_memory",
    "get_variadic_input_minimum",
    "get_variadic_input_homogeneity",
    "get_variadic_output_minimum",
    "get_variadic_output_homogeneity",
    "create_kernel_with_status",
    "compute_with_status",
)
# "compute" could not report errors; "compute_with_status" is called instead.
CALLBACKS = tuple(name for name in _FUNCTIONS if name != "compute")


class CustomOp(ctypes.Structure):
    """`OrtCustomOp`, and behind it what our functions find there."""

    _fields_ = (
        ("version", ctypes.c_uint32),
        *(
            (name, ctypes.c_void_p)
            for name in (
                *_FUNCTIONS,
                "reserved",  # read from version 17 on
                # Ours.
                "name",
                "execution_provider",
                "input_types",
                "output_types",
                "input_count",
                "output_count",
                "state",
            )
        ),
    )


class Operators(ctypes.Structure):
    """All operators of a domain; the table holds addresses of `CustomOp`."""

    _fields_ = (
        ("domain", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("table", ctypes.c_void_p),
    )


class Arena(ctypes.Structure):
    """Memory for one call at a time."""

    _fields_ = (("busy", ctypes.c_int64), ("memory", ctypes.c_void_p))


ARENAS = 64


class State(ctypes.Structure):
    """What a kernel needs: made once for an operator, shared by its sessions and their threads.

    More calls at once than there are arenas allocate memory of their own.
    """

    _fields_ = (
        ("api", ctypes.c_void_p),
        ("constants", ctypes.c_void_p),
        ("blank", ctypes.c_void_p),
        ("threads", ctypes.c_int64),
        ("arenas", Arena * ARENAS),
    )
