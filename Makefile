PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.ready

.PHONY: test lint clean

$(STAMP): requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.txt
	touch $(STAMP)

test: $(STAMP)
	JAX_PLATFORMS=cpu PYTHONPATH="$(CURDIR)" $(VENV)/bin/python -m pytest

lint: $(STAMP)
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy recflax

clean:
	rm -rf $(VENV) _build
