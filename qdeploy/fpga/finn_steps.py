# SPDX-License-Identifier: Apache-2.0
"""Build steps that FINN runs itself: named by the configurations that `finn_emission` writes.

FINN imports the module of a step before it runs the first one; that registers our operators.
"""

from __future__ import annotations

import logging
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Any

from finn.util.multiprocessing import configure_start_method
from qonnx.custom_op.registry import getCustomOp

from qdeploy.errors import UserError
from qdeploy.fpga import finn_import
from qdeploy.fpga.operators.wrapper import VerilogOperator

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


def step_use_qdeploy_operators(model: ModelWrapper, configuration: Any) -> ModelWrapper:
    """Give FINN's worker processes our operators, too; the first step of a configuration.

    FINN starts workers as fresh interpreters ("spawn"), which would take FINN's operators of the
    same names for ours. The server of "forkserver" is as fresh, but imports what it is told to.

    Raises:
        UserError: if the model has a node that qdeploy does not know in this version.
    """
    logging.getLogger("finn_logger").setLevel(logging.NOTSET)
    forkserver.set_forkserver_preload([finn_import.__name__])
    configure_start_method("forkserver")
    for node in model.graph.node:
        known = node.domain.endswith(".hls") or isinstance(getCustomOp(node), VerilogOperator)
        if not known:
            raise UserError(
                f"node {node.name} ({node.op_type}) is none of qdeploy's operators",
                remedy="build with the version of qdeploy that the README beside the model names",
            )
    return model
