# `make demo` and `make test` set up everything they need in .venv and then run.
# On a machine with an NVIDIA GPU: `make demo TORCH=cuda` installs torch's CUDA build.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= cpu
BIN = $(VENV)/bin
DEMO = out/demo

# A CPU build of torch is 200 MB, the CUDA build several GB. The pin keeps other packages from asking for more.
ifeq ($(TORCH),cuda)
TORCH_PACKAGE = torch
else
TORCH_PACKAGE = torch==2.13.0
endif

# The page of `recon view`; wheels hold it built.
PAGE = recon/viewer/page/index.html

.PHONY: demo viewer test lint native-tests cuda-half clean

$(VENV)/.torch-$(TORCH):
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "recon needs Python 3.11 or newer; run make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q $(TORCH_PACKAGE)
	touch $@

# Rebuilt when the native sources or the package list change; Python files are read from here as they are.
SOURCES = pyproject.toml CMakeLists.txt $(shell find cuda -name '*.h' -o -name '*.cpp')
$(VENV)/.recon: $(VENV)/.torch-$(TORCH) $(SOURCES)
	$(BIN)/python -m pip install -q scikit-build-core nanobind cmake ninja
	$(BIN)/python -m pip install -q --no-build-isolation -e '.'
	touch $@

$(VENV)/.dev: $(VENV)/.recon
	$(BIN)/python -m pip install -q --no-build-isolation -e '.[dev]'
	touch $@

demo: $(VENV)/.recon
	$(BIN)/python -m recon_datasets table --out out/demo-capture
	$(BIN)/recon run configs/examples/demo.yaml
	@echo "Open $(DEMO)/report.html; the splats are in $(DEMO)/exports/splats.ply"
	@test -f $(PAGE) && echo "$(BIN)/recon view $(DEMO) shows it in the browser" || echo "make viewer && $(BIN)/recon view $(DEMO) shows it in the browser (needs Node 20 and npm)"

viewer: $(PAGE)

$(PAGE): viewer/package-lock.json viewer/index.html viewer/vite.config.ts viewer/compress.mjs $(shell find viewer/src -type f)
	@command -v npm >/dev/null || { echo "the viewer's page is built with Node 20 or newer and npm; install them from nodejs.org"; exit 1; }
	npm ci --prefix viewer --no-audit --no-fund --silent
	npm run --prefix viewer --silent build

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -m "not cuda and not browser"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The native tests twice: warnings as errors with optimisation, then under AddressSanitizer and UBSan.
native-tests: $(VENV)/.dev
	$(BIN)/cmake -S . -B build/native -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DRECON_PYTHON=OFF -DRECON_TESTS=ON -DRECON_WERROR=ON
	$(BIN)/cmake --build build/native
	$(BIN)/ctest --test-dir build/native --output-on-failure
	$(BIN)/cmake -S . -B build/sanitize -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DRECON_PYTHON=OFF -DRECON_TESTS=ON -DRECON_SANITIZE=ON
	$(BIN)/cmake --build build/sanitize
	$(BIN)/ctest --test-dir build/sanitize --output-on-failure

# Where nvcc is: the whole CUDA half as a user's build makes it, for one architecture, loaded without needing a GPU;
# then the registers and spills of its kernels against the recorded ones.
cuda-half: $(VENV)/.dev
	$(BIN)/cmake -S . -B build/cuda -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DRECON_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=90 -DPython_EXECUTABLE=$(abspath $(BIN))/python
	$(BIN)/cmake --build build/cuda --target _cuda
	PYTHONPATH=build/cuda $(BIN)/python -c 'import recon._core, _cuda; print("CUDA half for", _cuda.ARCHITECTURES)'
	$(BIN)/python cuda/gpu/resources.py check

clean:
	rm -rf build dist $(VENV) out recon/viewer/page viewer/node_modules
