#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prepare .venv with everything qdeploy needs: the pinned packages and, where allowed, the compiler.
# `./setup.sh tests` installs what tests alone use: programs for ARM boards run under QEMU, in a small
# Debian that mmdebstrap makes, Vivado's scripts in Tcl's shell, bitstreams are built in Docker.
set -euo pipefail
cd "$(dirname "$0")"

PYTHON="${PYTHON:-python3}"
TORCH="torch==2.13.0+cpu"
TORCH_INDEX="https://download.pytorch.org/whl/cpu"

if [ "${1:-}" = tests ]; then
  packages=()
  while read -r program names; do
    command -v "$program" >/dev/null || packages+=($names)
  done <<'END'
qemu-arm qemu-user
tclsh tcl
mmdebstrap mmdebstrap arch-test
dockerd docker.io
END
  if [ "${#packages[@]}" -gt 0 ]; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq &&
      apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
      echo "[setup] not here: ${packages[*]}; tests that need them will be skipped"
  fi
  exit
fi

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
