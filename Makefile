# SPDX-License-Identifier: Apache-2.0
.PHONY: setup demo test lint clean
.DELETE_ON_ERROR:

setup: .venv/complete

.venv/complete: setup.sh requirements.lock pyproject.toml
	./setup.sh

demo: setup
	.venv/bin/qdeploy build models/digits-syq.toml -o build/digits

test: setup
	./setup.sh tests
	.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict qdeploy

clean:
	rm -rf .cache .venv build dist
