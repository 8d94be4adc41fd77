# shellcheck shell=bash
# The file to adapt to your site: the environment of every job. Sourced from the repository's
# root, with and without SLURM. Variables that are already set are kept.

# module load python/3.12    # no CUDA module: the packages bring CUDA 13; the driver must be >= 580
# source ~/miniconda3/etc/profile.d/conda.sh && conda activate lossgrid
# : "${HF_HOME:=$SCRATCH/huggingface}"; export HF_HOME    # models and data, shared by all jobs
# : "${HF_HUB_OFFLINE:=1}"; export HF_HUB_OFFLINE         # for compute nodes without a network

# shellcheck disable=SC1091
if [[ -f .venv/bin/activate ]]; then source .venv/bin/activate; fi

# How often an array element that stopped early (exit code 75) is requeued.
: "${MAX_REQUEUES:=20}"

# Without a GPU: glibc returns large blocks to the kernel at every training step, with page faults at
# the next. Keeping them reduced a training run from 97 s to 61 s.
if ! command -v nvidia-smi >/dev/null; then
    : "${MALLOC_MMAP_THRESHOLD_:=1073741824}" "${MALLOC_TRIM_THRESHOLD_:=1073741824}"
    export MALLOC_MMAP_THRESHOLD_ MALLOC_TRIM_THRESHOLD_
fi

# Where SLURM doesn't bind jobs to cores, a CPU job would start a thread for each core of the node.
# Jobs with GPUs keep the default: their threads wait for the GPU or load data.
if [[ -n ${SLURM_CPUS_PER_TASK:-} && -z ${CUDA_VISIBLE_DEVICES:-} ]]; then
    : "${OMP_NUM_THREADS:=$SLURM_CPUS_PER_TASK}"
    export OMP_NUM_THREADS
fi
