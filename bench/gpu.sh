#!/usr/bin/env bash
# What only a GPU can show, and its speed beside TRL, in at most eight minutes. From anywhere:
#   bash bench/gpu.sh                 all parts; --only vllm steps for some, --list names them
#   bash bench/gpu.sh --size tiny     the same on any machine, to see that the script runs to its end
# Parts that run over their time are cut. Prints two tables and writes logs/gpu.json. Exit code 1 where a check fails.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
# shellcheck source=sbatch/env.sh
source sbatch/env.sh
exec python -m bench.gpu "$@"
