"""lossgrid: fine-tuning studies over a SLURM job array."""
