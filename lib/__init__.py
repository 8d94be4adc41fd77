"""lossgrid: fine-tuning studies over a SLURM job array."""

import logging

# Advice on faster kernels, given whenever transformers imports it, adapters of 4 bit or none.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
