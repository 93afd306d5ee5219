#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prepare .venv with everything qdeploy needs: the pinned packages and, where allowed, the compiler.
set -euo pipefail
cd "$(dirname "$0")"

PYTHON="${PYTHON:-python3}"
TORCH="torch==2.13.0+cpu"
TORCH_INDEX="https://download.pytorch.org/whl/cpu"

need_packages=()
command -v g++ >/dev/null || need_packages+=(g++)
command -v "$PYTHON" >/dev/null || need_packages+=(python3)
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || need_packages+=(python3-venv)
if [ "${#need_packages[@]}" -gt 0 ]; then
  install="apt-get install -y --no-install-recommends ${need_packages[*]}"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && $install
  elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then
    sudo apt-get update -qq && sudo $install
  else
    echo "This machine lacks: ${need_packages[*]}. Run: sudo $install" >&2
    exit 2
  fi
fi
# For tests alone: programs for ARM boards run under QEMU, in a small Debian for ARM that mmdebstrap
# makes, scripts for Vivado in Tcl's shell.
if [ "$(id -u)" = 0 ] && ! command -v qemu-arm >/dev/null; then
  apt-get update -qq && apt-get install -y --no-install-recommends qemu-user ||
    echo "[setup] there is no qemu-user: tests of programs for ARM boards will be skipped"
fi
if [ "$(id -u)" = 0 ] && ! command -v tclsh >/dev/null; then
  apt-get update -qq && apt-get install -y --no-install-recommends tcl ||
    echo "[setup] there is no tcl: tests of scripts for Vivado will be skipped"
fi
if [ "$(id -u)" = 0 ] && ! command -v mmdebstrap >/dev/null; then
  apt-get update -qq && apt-get install -y --no-install-recommends mmdebstrap arch-test ||
    echo "[setup] there is no mmdebstrap: tests of the board's runtime on ARM will be skipped"
fi
if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "qdeploy needs Python 3.11 or newer; $("$PYTHON" --version) found." \
    "Run again with PYTHON=/path/to/python3.11" >&2
  exit 2
fi

pip() { .venv/bin/python -m pip --disable-pip-version-check --quiet "$@"; }

echo "[setup] creating .venv with $("$PYTHON" --version)"
"$PYTHON" -m venv .venv
echo "[setup] installing PyTorch (CPU)"
pip install --no-deps "$TORCH" 2>/dev/null || pip install --no-deps "$TORCH" --index-url "$TORCH_INDEX"
echo "[setup] installing $(grep -vc '^#' requirements.lock) pinned packages"
.venv/bin/python -m pip --disable-pip-version-check install --no-deps -r requirements.lock |
  awk '/^Collecting/ { print "[setup] fetching " $2 } /^Installing collected/ { print "[setup] installing" } { fflush() }'
pip install --no-deps --no-build-isolation --editable .
touch .venv/complete
echo "[setup] done"
