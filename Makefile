# Everything but `make lock`, `make test-pages`, `make test-spark`, `make web` and `make bench` needs
# Python 3.11 to 3.13 and nothing else. Where there is no make: README.md, "Without make".
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.ready
RUN := $(VENV)/bin/python
# a kernel of this environment finds recflax wherever a notebook is opened
FOUND := import os, sysconfig as s; p = s.get_path("purelib"); \
  open(p + "/recflax-source.pth", "w").write(os.path.relpath(os.getcwd(), p) + "\n")
PAGES := .venv-pages
PEERS := .venv-bench
PEER_NAMES := $(patsubst benchmarks/peers/%/requirements.txt,%,$(wildcard benchmarks/peers/*/requirements.txt))
SPARK := .venv-spark
MUTANTS := .venv-mutants
# tests run in as many processes as there are processors, up to four
SHARED := --numprocesses logical --maxprocesses 4
SUPPORTED := import sys; v = sys.version_info[:2]; \
  sys.exit(None if (3, 11) <= v <= (3, 13) else \
  "recflax needs Python 3.11, 3.12 or 3.13, and this is %d.%d: try make PYTHON=python3.12 ..." % v)

.PHONY: env book single epub serve notebooks lessons test lint test-pages test-spark web bench ways-in coverage mutants lock clean

env: $(STAMP)
	@$(RUN) -c '$(FOUND)'

book: $(STAMP)
	$(RUN) tools/build.py

single: $(STAMP)
	$(RUN) tools/build.py --format single

epub: $(STAMP)
	$(RUN) tools/build.py --format epub

serve:
	@test -f _build/html/index.html || { echo "There is no book yet: run make book first."; exit 1; }
	@echo "The book is at http://127.0.0.1:8000 (stop with Ctrl+C)"
	@$(PYTHON) -m http.server 8000 --bind 127.0.0.1 --directory _build/html

notebooks: $(STAMP)
	$(RUN) tools/notebooks.py --execute

lessons: $(STAMP)
	JAX_PLATFORMS=cpu PYTHONPATH="$(CURDIR)" $(RUN) tools/make_lessons.py

test: $(STAMP)
	JAX_PLATFORMS=cpu PYTHONPATH="$(CURDIR)" $(RUN) -m pytest $(SHARED) --dist loadfile

# branches too
coverage: $(STAMP)
	JAX_PLATFORMS=cpu PYTHONPATH="$(CURDIR)" $(RUN) -m pytest $(SHARED) --dist loadfile \
	  --cov --cov-report=term-missing:skip-covered

# a sample of deliberate breakage, and which of it the tests miss; MUTANT="--sample 20" for fewer
mutants: $(STAMP) $(MUTANTS)/.ready
	$(MUTANTS)/bin/python tools/mutants.py --python $(CURDIR)/$(RUN) $(MUTANT)

lint: $(STAMP)
	$(RUN) -m ruff check . && $(RUN) -m ruff format --check . && $(RUN) -m mypy

test-pages: $(STAMP) $(PAGES)/.ready
	$(PAGES)/bin/python -m pytest tests/pages --config-file tests/pages/pytest.ini -m "not alone" $(SHARED)
	$(PAGES)/bin/python -m pytest tests/pages --config-file tests/pages/pytest.ini -m alone -s

# the same cases as `make test`, with Spark for an engine; needs Java (Debian: default-jre-headless)
test-spark: $(SPARK)/.ready
	RECFLAX_ENGINE=spark PYTHONPATH="$(CURDIR)" $(SPARK)/bin/python -m pytest tests/data/test_pipeline.py \
	  $(if $(RECFLAX_DATA_DIR),tests/real_data/test_pipeline_retail.py) --config-file tests/spark/pytest.ini

# wheel, source archive, oldest and newest versions, Colab's and JupyterLab's way: in a temporary folder
ways-in:
	@$(PYTHON) -c '$(SUPPORTED)'
	$(PYTHON) tools/ways_in.py $(WAYS)

web:
	cd web && npm ci --no-audit --no-fund --silent && npm run --silent check && npm run --silent build

# a peer that does not install is said in the tables, and the others run; BENCH=--quick: small sizes
BENCH ?= --readme
bench: $(STAMP) $(PEER_NAMES:%=$(PEERS)/%.done)
	$(RUN) benchmarks/run.py --environments $(PEERS) $(BENCH)

lock:
	uv pip compile pyproject.toml --universal --python-version 3.11 --fork-strategy fewest \
	  --extra book --extra test --extra lint --extra scale --extra pipeline --no-annotate --custom-compile-command "make lock" --output-file requirements.txt

clean:
	rm -rf $(VENV) $(PAGES) $(PEERS) $(SPARK) $(MUTANTS) _build

$(STAMP): requirements.txt
	@$(PYTHON) -c '$(SUPPORTED)'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@$(RUN) -c '$(FOUND)'
	@touch $(STAMP)

$(PAGES)/.ready: tests/pages/requirements.txt
	$(PYTHON) -m venv $(PAGES)
	$(PAGES)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/pages/requirements.txt
	@touch $@

$(PEERS)/%.done: benchmarks/peers/%/requirements.txt benchmarks/environment.sh
	PYTHON="$(PYTHON)" sh benchmarks/environment.sh benchmarks/peers/$* $(PEERS)/$*

$(SPARK)/.ready: tests/spark/requirements.txt
	@$(PYTHON) -c '$(SUPPORTED)'
	$(PYTHON) -m venv $(SPARK)
	$(SPARK)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/spark/requirements.txt
	@touch $@

$(MUTANTS)/.ready: tests/mutants/requirements.txt
	$(PYTHON) -m venv $(MUTANTS)
	$(MUTANTS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/mutants/requirements.txt
	@touch $@
