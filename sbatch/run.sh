# shellcheck shell=bash
# What the templates share: one stage, run with or without SLURM, stopped in time and requeued.
# Sourced from the repository's root.

# run_stage MODULE [ARGUMENT …]: the arguments go to the stage unchanged, with --index added.
# BATCH_SCRIPT, which the templates set: whether this shell is what sbatch started.
run_stage() {
    local signals='' seen code=75
    if [[ -n ${BATCH_SCRIPT:-} ]]; then
        trap 'on_signal USR2' USR2
        trap 'on_signal TERM' TERM
    fi

    # shellcheck source=sbatch/env.sh
    source sbatch/env.sh
    export PYTHONUNBUFFERED=1 # a log that can be followed, and is whole after a kill

    if [[ " $* " != *" --index"[\ =]* ]]; then
        if [[ -z ${SLURM_ARRAY_TASK_ID:-} ]]; then
            echo "$1: which point? Give --index N, or set SLURM_ARRAY_TASK_ID" >&2
            exit 2
        fi
        set -- "$@" --index "$SLURM_ARRAY_TASK_ID"
    fi

    local command=(python -m "$@")
    # In an allocation, but not yet in a step of it (which could start no other beside itself).
    # srun doesn't inherit --cpus-per-task from sbatch (since SLURM 22.05).
    if [[ -n ${SLURM_JOB_ID:-} && -z ${SLURM_STEP_ID:-} ]]; then
        command=(srun --ntasks=1
            ${SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"} "${command[@]}")
    fi

    # By hand, also inside an interactive allocation: the stage takes this shell's place, its
    # signals and its exit code, and the allocation is its user's to end.
    [[ -n ${BATCH_SCRIPT:-} ]] || exec "${command[@]}"

    # A signal that came before there was a stage to take it: don't begin, stop early (75).
    if [[ -z $signals ]]; then
        "${command[@]}" &
        # A trapped signal makes wait return while the stage still runs.
        while :; do
            seen=$signals
            wait $!
            code=$?
            [[ $signals != "$seen" ]] || break
        done
    fi

    # Killed by USR2 (128 + 12): it came before the stage had set its handler, so nothing is lost.
    if [[ $code == 140 && $signals == *USR2* ]]; then code=75; fi
    # TERM is what scancel sends: a job that somebody ended must not come back.
    if [[ $code == 75 && $signals != *TERM* ]]; then requeue "$@"; fi
    exit "$code"
}

# srun passes on what it is sent; the stage only takes note, and stops where it can be resumed.
on_signal() {
    signals+=" $1"
    kill -"$1" $! 2>/dev/null
}

# requeue MODULE [ARGUMENT …]: puts this element, and it alone (the bare id of an array would mean
# all of it), back in the queue, unless that would be of no use.
requeue() {
    local element=$SLURM_JOB_ID count=${SLURM_RESTART_COUNT:-0} job said try
    if [[ -n ${SLURM_ARRAY_JOB_ID:-} ]]; then
        element=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
    fi
    if ((count >= MAX_REQUEUES)); then
        echo "stopped early and not requeued: it was, $count times (MAX_REQUEUES=$MAX_REQUEUES)" >&2
        return
    fi
    job=$(timeout 20 scontrol --oneliner show job "$SLURM_JOB_ID" 2>/dev/null)
    if [[ $job == *" BatchFlag=0 "* ]]; then
        echo "stopped early and not requeued: $element is no batch job" >&2
        return
    fi
    if [[ $job == *" Requeue=0 "* ]]; then
        echo "stopped early and not requeued: $element was submitted with --no-requeue (or the" \
            "cluster has JobRequeue=0); submit it again, and it resumes" >&2
        return
    fi
    # Exit code 3: the last restarts led nowhere, as it has said. Any other answer stops nothing.
    timeout 30 python -m stages.restarts "$@"
    if (($? == 3)); then return; fi
    echo "stopped early: requeueing $element ($((count + 1)) of at most $MAX_REQUEUES times)" >&2
    trap '' TERM # which requeueing sends to what is left of the job: this shell
    for try in 1 2 3; do
        if ((try > 1)); then sleep 5; fi
        if said=$(timeout 20 scontrol requeue "$element" 2>&1); then return; fi
    done
    echo "not requeued: scontrol requeue $element failed: ${said//$'\n'/ }; submit it again, and it" \
        "resumes" >&2
}
