"""SLURM: its commands, the arrays of a study, and their submission."""
