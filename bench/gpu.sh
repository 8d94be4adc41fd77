#!/usr/bin/env bash
# What only a GPU can show, in at most eight minutes on one H100-class GPU. From anywhere:
#   bash bench/gpu.sh                 all checks; --only vllm pairs for some, --list names them
#   bash bench/gpu.sh --size tiny     the same on any machine, to see that the script runs to its end
# Prints a table and writes logs/gpu.json. Exit code 1 where a check fails.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
# shellcheck source=sbatch/env.sh
source sbatch/env.sh
exec python -m bench.gpu "$@"
