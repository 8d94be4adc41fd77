"""Search over training settings: Optuna's journal, trials, dead workers, and the best trial."""
