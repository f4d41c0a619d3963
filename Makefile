# `make run` and `make test` set up all they need in .venv; see README.md. A network of one's own:
# make run ARGS="--network resnet18 --checkpoint my.safetensors --classes classes.txt"
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8501

.PHONY: run test lint bench bench-load bench-soak bench-faithful bench-causes fuzz zoo zoo-timm live-app bench-live-app clean

run: $(VENV)/.installed
	$(BIN)/streamlit run app.py --server.port $(PORT) --server.headless true $(if $(ARGS),-- $(ARGS))

test: lint
	$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.cost
	$(BIN)/python -m benchmarks.busy
	$(BIN)/python -m benchmarks.many
	$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m benchmarks.page
	$(BIN)/python -m benchmarks.viewer

bench-load: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.load

bench-soak: $(VENV)/.installed-dev
	$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m benchmarks.soak

# PHOTOS is a folder that holds imagenet/ and coco128/, see benchmarks/faithful/__main__.py.
bench-faithful: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.faithful "$(PHOTOS)"

# PHOTOS is a folder that holds flowers/ and imagenet/, FONT one with Chinese characters, see benchmarks/causes/__main__.py.
bench-causes: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.causes "$(PHOTOS)/flowers" $(if $(FONT),"$(PHOTOS)/imagenet" "$(FONT)")

fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.fuzz

zoo: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.zoo torchvision

zoo-timm: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.zoo timm

# Static files in which the bundled network runs in the visitor's browser: OUT is the folder. It takes npm.
live-app: $(VENV)/.installed
	$(BIN)/python -m explorer.live.app "$(or $(OUT),build/live-app)"

# PHOTOS is a folder of photos, see benchmarks/live_app.py.
bench-live-app: $(VENV)/.installed-dev
	$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m benchmarks.live_app "$(PHOTOS)"

# A virtual environment without pip is the mark of a Debian without python3-venv.
$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "PoolScope needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python cannot make a virtual environment; on Debian or Ubuntu: sudo apt install python3-venv" >&2; exit 1; }

$(VENV)/.installed: requirements.txt | $(VENV)/bin/pip
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements.txt requirements-dev.txt | $(VENV)/bin/pip
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements-dev.txt
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
