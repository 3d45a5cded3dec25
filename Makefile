# make demo   the main job on this machine: install, build an engine, sample, train, evaluate, report
# make test   lint, types and the fast tests          make test-slow / make test-gpu   the others
# make test-newest / make test-lowest   the fast tests with the newest versions, and with the lowest that pyproject.toml allows
# make validate-statistics   what the intervals of the fairness suite hold, by simulation; a stopped run goes on
# make docs   the site, in build/site; a broken link fails
# make wheel  the wheel, in dist/, and a try of it away from the source
# make lock   every lock again, with hashes; pins stay unless UPGRADE=--upgrade or UPGRADE="-P package"
# make versions   the newest and the lowest set of versions again
# make audit  licences and known vulnerabilities of what is locked ("Error 3": the database could not be asked)

PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
DEMO ?= demo
export HF_HUB_OFFLINE ?= 1
export OMP_NUM_THREADS ?= 2

EXTRAS := optimum tensorrt-rtx lora ray cloud quality track wandb mlflow dicom c2pa
TOOLS := build/tools/bin
COMPILE := $(TOOLS)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet $(UPGRADE)
TRIED := $(filter-out optimum tensorrt-rtx,$(EXTRAS))
RESOLVE := $(TOOLS)/uv pip compile pyproject.toml --python-version 3.11 --no-header --no-annotate --quiet --upgrade

.PHONY: install demo lint test test-slow test-gpu test-newest test-lowest validate-statistics docs wheel lock versions audit clean

install: $(STAMP)

$(STAMP): requirements-dev.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -P -m venv .venv
	$(BIN)/pip install --quiet --progress-bar off --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

$(TOOLS)/.installed: requirements-tools.lock
	test -x $(TOOLS)/python || $(PYTHON) -P -m venv build/tools
	$(TOOLS)/pip install --quiet --progress-bar off --require-hashes -r requirements-tools.lock
	touch $@

demo: install
	$(BIN)/gen build-engine --out $(DEMO)/bundle
	$(BIN)/gen sample --shards $(DEMO)/shards --engine $(DEMO)/bundle --per-cell 16 --guidance 2 --guidance-interval 0.1:1.5 --json \
		> $(DEMO)/sample.json
	$(BIN)/gen phantoms $(DEMO)/phantoms --per-cell 6 --validation-per-cell 4 --test-per-cell 34
	$(BIN)/evalsuite run --real $(DEMO)/phantoms --synthetic $(DEMO)/shards --n-real 32 --ratio 3 --seeds 1 \
		--model test_efficientnet --weights scratch --size 64 --steps 600 --batch 48 --lr 4e-3 --out $(DEMO)/report
	$(BIN)/bench headlines $(DEMO)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -P -m pytest -n 2

test-slow: install
	$(BIN)/python -P -m pytest -m slow --timeout 3600

test-gpu: install
	$(BIN)/python -P -m pytest -m gpu --timeout 3600

# Each set has an environment of its own.
test-newest test-lowest: test-%:
	test -x build/$*/bin/python || $(PYTHON) -P -m venv build/$*
	build/$*/bin/pip install --quiet --progress-bar off -r tests/versions/$*.txt
	build/$*/bin/pip install --quiet --no-deps --no-build-isolation -e .
	OMP_NUM_THREADS=1 build/$*/bin/python -P -m pytest -n 2

validate-statistics: install
	$(BIN)/bench statistics --worker 0/2 & $(BIN)/bench statistics --worker 1/2; wait
	$(BIN)/bench statistics

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheel: install
	rm -rf dist build/lib build/wheel
	$(BIN)/pip wheel . --quiet --no-deps --no-build-isolation --wheel-dir dist
	$(BIN)/pip install --quiet --no-deps --target build/wheel dist/dermforge-*.whl
	cd build/wheel && PYTHONPATH=$(CURDIR)/build/wheel ../../$(BIN)/python -P -m dermforge gen phantoms smoke --per-cell 1 --test-per-cell 1
	cd build/wheel && PYTHONPATH=$(CURDIR)/build/wheel ../../$(BIN)/python -P -m dermforge shards verify smoke/train --deep

lock: $(TOOLS)/.installed
	$(COMPILE) pyproject.toml $(EXTRAS:%=--extra %) -o requirements.lock
	$(COMPILE) pyproject.toml $(EXTRAS:%=--extra %) --group dev -c requirements.lock -o requirements-dev.lock
	$(COMPILE) --group image-gpu --no-deps -o requirements-gpu.lock
	$(COMPILE) --group tools -c requirements-dev.lock -o requirements-tools.lock

# Without TensorRT, which has one version, and newest without optimum, which holds transformers back.
versions: $(TOOLS)/.installed
	$(RESOLVE) $(TRIED:%=--extra %) --group dev --universal -c tests/versions/tried.txt -o tests/versions/newest.txt
	$(RESOLVE) $(TRIED:%=--extra %) --extra optimum --resolution lowest-direct -o build/lowest.txt
	$(RESOLVE) $(TRIED:%=--extra %) --extra optimum --group dev -c build/lowest.txt -o tests/versions/lowest.txt

audit: install $(TOOLS)/.installed
	$(BIN)/python -P .ci/licences.py requirements.lock
	$(TOOLS)/python -P .ci/vulnerabilities.py requirements-dev.lock requirements-gpu.lock requirements-tools.lock

clean:
	rm -rf $(DEMO) runs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
