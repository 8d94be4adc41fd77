# lossgrid: `make demo` shows all of it, `make test` proves it. STUDY names a file of configs/, or is
# the path of another one (STUDY=../mine.yaml); ARGS are extra arguments, as in:
# make train STUDY=demo ARGS="train.epochs=2"

STUDY  ?= weighted_loss
ARGS   ?=
CONFIG := $(if $(filter %.yaml,$(STUDY)),$(STUDY),configs/$(STUDY).yaml)
PY     := .venv/bin/python
# Arrays of metrics are small: threads would only slow them down.
CALM   := OPENBLAS_NUM_THREADS=1
# Without a GPU, keep freed memory between training steps (see sbatch/env.sh). exec: signals
# from make reach the stage, not a shell.
HERE   := set -a; . sbatch/env.sh; set +a; PATH="$(CURDIR)/.venv/bin:$$PATH" exec

# Packages are installed uncompiled. If this is set, as in many container images, every process
# compiles them again: 20 of the 30 s that a training process takes to start.
unexport PYTHONDONTWRITEBYTECODE

# Tests in two processes, each file in one of them, in the order of tests/conftest.py.
TOGETHER := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
SHELL := /bin/bash

include setup.mk

.PHONY: help demo test test-quick test-faults trial submission data reference train search infer
.PHONY: evaluate plots grid plan submit diff status retry clean-study track lint clean
help:
	@echo "make demo | test | test-quick | test-faults | setup"
	@echo "make data train infer evaluate plots STUDY=$(STUDY)   the five stages of a study"
	@echo "make submit STUDY=$(STUDY)                            what is missing, as one chain of jobs"
	@echo "make status retry STUDY=$(STUDY)                      what runs, failed and why; failed ones again"
	@echo "make diff STUDY=$(STUDY)                              results that an edited study would change"
	@echo "make reference STUDY=td_dpo                           of preference pairs alone, ahead of train"
	@echo "make trial STUDY=$(STUDY)                             the same in miniature, in minutes"
	@echo "make search STUDY=iw_lora_search                      trials of a study's search, and its best"
	@echo "make submission STUDY=$(STUDY)                        from a clean clone to the final tables"
	@echo "make track STUDY=$(STUDY) TO=trackio             runs to trackio, wandb, tensorboard, mlflow"
	@echo "make plan STUDY=$(STUDY) PRICE=2.5   hours, price, disk, and what claims could detect"
	@echo "make clean-study STUDY=$(STUDY)      what a study holds, and what of it can go"
	@echo "make grid | lint | clean"
	@echo "make train ARGS=--here                                on this machine, not through SLURM"

demo: setup
	@$(HERE) $(PY) -m stages.demo configs/demo.yaml $(ARGS)

# A test file in ARGS needs no second process.
test: setup
	@$(PY) -m pytest -m "not faults" $(if $(findstring tests/,$(ARGS)),,$(TOGETHER)) $(ARGS)

test-quick: setup
	@$(PY) -m pytest -m "not slow and not faults" $(TOGETHER) $(ARGS)

# Hundreds of kills, spoiled files and full disks; prints a table. Takes a quarter of an hour.
test-faults: setup
	@$(PY) -m pytest -m faults -s tests/faults $(ARGS)

data: setup
	@mkdir -p logs
	@$(HERE) $(PY) -m stages.stage1_generate_datasets $(CONFIG) $(ARGS)

reference train infer: setup
	@$(HERE) $(PY) -m stages.submit $@ $(CONFIG) $(ARGS)

# Data here, then training, inference and figures as jobs that wait for each other.
submit: setup
	@$(HERE) $(PY) -m stages.submit all $(CONFIG) $(ARGS)

# Read-only: which finished points the study's file, data and code of now would change.
diff: setup
	@$(PY) -m stages.diff $(CONFIG) $(ARGS)

# Trials of a study's `search:` section: submits missing ones, shows the state, selects the best.
search: setup
	@$(HERE) $(PY) -m stages.search $(CONFIG) $(ARGS)

evaluate: setup
	@$(CALM) $(PY) -m stages.stage4_evaluate $(CONFIG) $(ARGS)

plots: setup
	@$(CALM) $(PY) -m stages.stage5_visualize $(CONFIG) $(ARGS)

# On this machine, never through SLURM, and not in results/$(STUDY)/ but in results/$(STUDY)-trial/.
trial: setup
	@$(HERE) $(PY) -m stages.demo $(CONFIG) mode=trial --here $(ARGS)

# All five stages, waiting for each: through SLURM if available, else here.
submission: setup
	@$(HERE) $(PY) -m stages.demo $(CONFIG) mode=full $(ARGS)

grid: setup
	@$(PY) -m stages.grid $(CONFIG) $(ARGS)

# PRICE: of a GPU-hour.
plan: setup
	@$(CALM) $(PY) -m stages.plan $(CONFIG) $(if $(PRICE),--price $(PRICE)) $(ARGS)

clean-study: setup
	@$(PY) -m stages.clean_study $(CONFIG) $(ARGS)

# Read-only. ARGS: --points, --watch, --json.
status: setup
	@$(PY) -m stages.status $(CONFIG) $(ARGS)

# Failed points only, by the reason of each; ARGS=--dry-run shows what would be done.
retry: setup
	@$(HERE) $(PY) -m stages.retry $(CONFIG) $(ARGS)

# Exports new rows; needs no GPU. TO: trackio, wandb, tensorboard or mlflow.
track: setup
	@$(PY) -m stages.track $(CONFIG) --to "$(TO)" $(ARGS)

lint: setup
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .

# Caches and logs; results, the environment and logs/ itself stay: SLURM tasks need the directory.
clean:
	rm -rf .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
	mkdir -p logs
	find logs -type f ! -name .gitkeep -delete
