# Everything happens in .venv. A stamp file inside it is written last, so an interrupted
# install counts as not done, and a finished one costs nothing the next time.

PORT ?= 5006
BIN := .venv/bin

UV_VERSION := 0.13.9
UV := .venv-lock/bin/uv
# One version of each package for all Pythons and systems; no address of an index in the files.
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help install serve test test-training check lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

install: .venv/.installed ## make .venv from requirements.lock (PYTHON=... picks the Python)

serve: .venv/.installed ## install if needed, then serve the dashboard on 127.0.0.1 (PORT=5006)
	@$(BIN)/python -c 'import socket; socket.create_server(("127.0.0.1", $(PORT)))' 2>/dev/null || \
		{ echo "Port $(PORT) cannot be used: something else listens there, or it is no port number. Try another: make serve PORT=5007"; exit 1; }
	@echo "Cutout: open http://127.0.0.1:$(PORT)/ in a browser; Ctrl+C stops it."
	@$(BIN)/panel serve dashboard/app.py --address 127.0.0.1 --port $(PORT)

test: .venv/.test-tools ## run all tests, those in a headless Chromium too
	$(BIN)/python tests/chromium.py
	$(BIN)/python -m pytest -m "not network and not gpu"

test-training: .venv/.training ## run the tests of the training recipe; installs its extra (torch) first
	$(BIN)/python -m pytest tests/processing/training tests/docs/test_training_page.py

check: .venv/.test-tools ## lint, formatting, types, import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(UV) ## write both locks anew from pyproject.toml (UPGRADE=--upgrade takes newer versions)
	$(COMPILE) $(UPGRADE) pyproject.toml --group build -o requirements.lock
	$(COMPILE) $(UPGRADE) --group test -c requirements.lock -o requirements-test.lock

clean: ## delete .venv, caches and build outputs; artifacts/ stays
	rm -rf .venv .venv-lock .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist
	find processing dashboard tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A changed lock makes .venv anew, so it never holds what the lock no longer names.
.venv/.locked: requirements.lock
	@python=$$(sh .make/find_python.sh "$(PYTHON)") && echo "Making .venv with $$python" && \
		"$$python" -m venv --clear .venv
	$(BIN)/python -m pip install --require-hashes -r requirements.lock
	@touch $@

.venv/.installed: .venv/.locked pyproject.toml
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	@touch $@

.venv/.test-tools: requirements-test.lock .venv/.locked | .venv/.installed
	$(BIN)/python -m pip install --require-hashes -r requirements-test.lock
	@touch $@

# The locks' versions without their hashes: an editable install has none, and pip takes all or nothing.
.venv/.training: pyproject.toml | .venv/.test-tools
	sed -n 's/^\([A-Za-z0-9._-]*==[^ ]*\).*/\1/p' requirements.lock requirements-test.lock | sort -u > .venv/versions.txt
	$(BIN)/python -m pip install --no-build-isolation -c .venv/versions.txt -e '.[training]'
	@touch $@

$(UV): Makefile
	@python=$$(sh .make/find_python.sh "$(PYTHON)") && "$$python" -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv==$(UV_VERSION)
	@touch $@
