# shellcheck shell=bash
# Shared by the templates: run a stage with or without SLURM, stop it in time, and requeue it.
# Sourced from the repository's root, or from a snapshot of it in CODE.

set_environment() {
    # shellcheck source=sbatch/env.sh
    source "${CODE}sbatch/env.sh"
    export PYTHONUNBUFFERED=1 # a log that can be followed, and is complete after a kill
    # The snapshot's modules, and never those of the directory of submission, which stays the
    # current one: paths in studies are relative to it.
    if [[ -n $CODE ]]; then
        export PYTHONSAFEPATH=1 PYTHONPATH=$(realpath "$CODE")${PYTHONPATH:+:$PYTHONPATH}
    fi
}

# run_stage MODULE [ARGUMENT …]: the arguments go to the stage unchanged, with --index added.
# BATCH_SCRIPT, set by the templates: whether sbatch started this shell.
run_stage() {
    local signals='' seen code=75 job
    if [[ -n ${BATCH_SCRIPT:-} ]]; then
        trap 'on_signal USR2' USR2
        trap 'on_signal TERM' TERM
    fi

    set_environment
    if [[ " $* " != *" --index"[\ =]* ]]; then
        if [[ -z ${SLURM_ARRAY_TASK_ID:-} ]]; then
            echo "$1: which point? Give --index N, or set SLURM_ARRAY_TASK_ID" >&2
            exit 2
        fi
        set -- "$@" --index "$SLURM_ARRAY_TASK_ID"
    fi

    local command=(python -m "$@")
    # In an allocation, but not yet in a step of it (within which no other step could start).
    # srun doesn't inherit --cpus-per-task from sbatch (since SLURM 22.05).
    if [[ -n ${SLURM_JOB_ID:-} && -z ${SLURM_STEP_ID:-} ]]; then
        command=(srun --ntasks=1
            ${SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"} "${command[@]}")
    fi

    # By hand, also inside an interactive allocation: the stage replaces this shell, and gets its
    # signals.
    [[ -n ${BATCH_SCRIPT:-} ]] || exec "${command[@]}"

    # A signal before the stage has started: exit as stopped (75).
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

    # Killed by USR2 (128 + 12): before the stage had set its handler, so nothing is lost.
    if [[ $code == 140 && $signals == *USR2* ]]; then code=75; fi
    if [[ $code != 75 && $code != 143 ]]; then exit "$code"; fi
    job=$(timeout 20 scontrol --oneliner show job "$SLURM_JOB_ID" 2>/dev/null)
    if [[ $job =~ PreemptTime=[0-9] ]]; then
        # Preemption sends TERM: to the stage alone while GraceTime lasts, then to this shell too.
        # 128 + 15: before the handler. Under PreemptMode=CANCEL a requeue is still accepted.
        code=75
        requeue preempted "$@"
    elif [[ $code == 75 && $signals != *TERM* ]]; then
        requeue stopped "$@"
    fi # else TERM came from scancel, or from a preemption that has requeued the job already
    exit "$code"
}

# srun passes signals on; the stage sets a flag, and stops at a checkpoint.
on_signal() {
    signals+=" $1"
    kill -"$1" $! 2>/dev/null
}

# requeue WHY MODULE [ARGUMENT …]: requeue this array element only (the bare id of an array means all
# of it), unless earlier restarts made no progress; those by preemption are nobody's fault.
requeue() {
    local why=$1 element=$SLURM_JOB_ID count=${SLURM_RESTART_COUNT:-0} said try
    shift
    if [[ -n ${SLURM_ARRAY_JOB_ID:-} ]]; then
        element=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
    fi
    if [[ $why == stopped ]] && ((count >= MAX_REQUEUES)); then
        echo "stopped early and not requeued: it was, $count times (MAX_REQUEUES=$MAX_REQUEUES)" >&2
        return
    fi
    if [[ $job == *" BatchFlag=0 "* ]]; then
        echo "stopped early and not requeued: $element is no batch job" >&2
        return
    fi
    if [[ $job == *" Requeue=0 "* ]]; then
        echo "stopped early and not requeued: $element was submitted with --no-requeue (or the" \
            "cluster has JobRequeue=0); submit it again, and it resumes" >&2
        return
    fi
    if [[ $why == preempted ]]; then
        echo "preempted: requeueing $element" >&2
    else
        # Exit code 3: the last restarts made no progress. Any other code allows the requeue.
        timeout 30 python -m stages.restarts "$@"
        if (($? == 3)); then return; fi
        echo "stopped early: requeueing $element ($((count + 1)) of at most $MAX_REQUEUES times)" >&2
    fi
    trap '' TERM # which requeueing sends to the rest of the job: this shell
    for try in 1 2 3; do
        if ((try > 1)); then sleep 5; fi
        if said=$(timeout 20 scontrol requeue "$element" 2>&1); then return; fi
    done
    echo "not requeued: scontrol requeue $element failed: ${said//$'\n'/ }; submit it again, and it" \
        "resumes" >&2
}
