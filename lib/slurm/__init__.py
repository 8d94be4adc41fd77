"""SLURM: its commands, arrays of a study, and what submits them."""
