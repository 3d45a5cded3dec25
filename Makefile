# make demo   the main job on this machine: install, build an engine, sample, train, evaluate, report
# make test   lint, types and the fast tests          make test-slow / make test-gpu   the others

PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
DEMO ?= demo
export HF_HUB_OFFLINE ?= 1
export OMP_NUM_THREADS ?= 2

.PHONY: install demo lint test test-slow test-gpu lock clean

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --progress-bar off -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

demo: install
	$(BIN)/gen build-engine --out $(DEMO)/bundle
	$(BIN)/gen sample --shards $(DEMO)/shards --engine $(DEMO)/bundle --per-cell 16 --guidance-interval 0.28:5.42 --json \
		> $(DEMO)/sample.json
	$(BIN)/gen phantoms $(DEMO)/phantoms --per-cell 6 --validation-per-cell 4 --test-per-cell 34
	$(BIN)/evalsuite run --real $(DEMO)/phantoms --synthetic $(DEMO)/shards --n-real 32 --ratio 3 \
		--out $(DEMO)/report
	$(BIN)/bench headlines $(DEMO)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-slow: install
	$(BIN)/python -m pytest -m slow --timeout 3600

test-gpu: install
	$(BIN)/python -m pytest -m gpu --timeout 3600

clean:
	rm -rf $(DEMO) runs build .mypy_cache .ruff_cache .pytest_cache .hypothesis
