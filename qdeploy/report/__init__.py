# SPDX-License-Identifier: Apache-2.0
"""The report of a build: its data, the terminal's closing table, and one HTML page.

The page needs Jinja2 and Matplotlib; only `qdeploy.report.render` imports them.
"""

from qdeploy.report.contents import (
    Activity,
    Amounts,
    Fifo,
    Implementation,
    Layer,
    Performance,
    Report,
    Resources,
    ScaleForm,
    Schedule,
    Sizes,
    StageSummary,
    Tensor,
    Version,
)
from qdeploy.report.summary import closing_table

__all__ = [
    "Activity",
    "Amounts",
    "Fifo",
    "Implementation",
    "Layer",
    "Performance",
    "Report",
    "Resources",
    "ScaleForm",
    "Schedule",
    "Sizes",
    "StageSummary",
    "Tensor",
    "Version",
    "closing_table",
]
