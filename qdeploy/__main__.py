# SPDX-License-Identifier: Apache-2.0
"""`python -m qdeploy`."""

from qdeploy.cli import main

main()
