# make lab    JupyterLab on the quickstart, drawing offline in the sandbox
# make test   install everything and pass all tests (the nightly proofs apart)
# make matrix the tests on Python 3.11 to 3.14 with Colab's, the oldest and the newest versions
# make check  formatting, lint, types and the gates: forbidden code, imports, notebooks, advisories
# make bench  what it costs, side by side with others

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test test-all matrix check bench clean

lab: $(VENV)/lab.stamp
	$(BIN)/jupyter lab $(ROOT) notebooks/quickstart.ipynb

test: check
	$(BIN)/python -m pytest -m "not nightly" -n 3 --dist loadfile --ignore=tests/gates

test-all: check
	$(BIN)/python -m pytest --ignore=tests/gates

# make matrix PYTHONS="3.13 /opt/python3.14/bin/python3" ONLY="colab-* newest-3.14"
matrix: $(VENV)/test.stamp
	$(BIN)/python -m tests.matrix $(if $(PYTHONS),--pythons $(PYTHONS)) \
		$(if $(ONLY),--only $(foreach leg,$(ONLY),'$(leg)'))

check: $(VENV)/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/gates
	$(BIN)/python -m tests.gates.audit

bench: $(VENV)/bench.stamp
	$(BIN)/python -m benchmarks

$(VENV)/%.stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) .stacks .mypy_cache .pytest_cache .ruff_cache
