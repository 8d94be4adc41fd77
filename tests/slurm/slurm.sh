#!/usr/bin/env bash
# A private one-node SLURM for tests: `slurm.sh start DIR` | `slurm.sh stop DIR`.
#
# Everything it owns lies in DIR: configuration, key, sockets, state and logs. Nothing in /etc is
# read or written, so any number of them run side by side, beside a SLURM of the machine's own too.
# `start` prints the line that points a shell at it: eval "$(slurm.sh start DIR)".
set -euo pipefail
PATH+=:/usr/sbin # where the daemons are

gpus=16 # four elements of train.sbatch (gpu:4) side by side

die() {
    echo "slurm.sh: $*" >&2
    exit 1
}

install_slurm() {
    type slurmctld slurmd munged >/dev/null 2>&1 && return
    command -v apt-get >/dev/null || die "SLURM is not installed and there is no apt-get"
    # DPkg::Lock::Timeout: another test run may be installing at this moment.
    local get=(apt-get -qq -y -o DPkg::Lock::Timeout=300 --no-install-recommends)
    {
        "${get[@]}" install slurm-wlm munge || {
            # The usual reason for a failure: package lists that are missing or old.
            "${get[@]}" update
            "${get[@]}" install slurm-wlm munge
        }
    } >"$dir/install.log" 2>&1 </dev/null || die "cannot install SLURM, see $dir/install.log"
}

free_port() {
    # Below the range from which the kernel serves outgoing connections.
    local port
    while port=$((RANDOM % 12000 + 20000)); (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

write_config() {
    local host=${HOSTNAME%%.*}
    # slurmd wants a character device for every GPU; a link to one will do, and needs no mknod.
    local i
    for ((i = 0; i < gpus; i++)); do ln -s /dev/null "$dir/gpu$i"; done
    echo "NodeName=$host Name=gpu File=$dir/gpu[0-$((gpus - 1))]" >"$dir/gres.conf"

    local port
    port=$(free_port)
    cat >"$SLURM_CONF" <<CONF
ClusterName=test$port
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$(free_port)
SlurmUser=root
SlurmdUser=root

StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/jobcomp.log

AuthType=auth/munge
# A requeued job waits cred_expire seconds before it may start again: 120, at the least 5.
AuthInfo=socket=$dir/munge.socket,cred_expire=5

# No cgroups: they need more rights than a container gives.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2

# Start jobs at once, and keep the record of every job, so that exit codes can be read at the end.
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
MinJobAge=86400
KillWait=2
MaxArraySize=1001
JobRequeue=1

SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
# The node says of itself that it is a GPU server, whatever the machine is, so that templates that
# ask for one are accepted unmodified. Nothing enforces it: jobs share what there really is.
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=64 RealMemory=512000 Gres=gpu:$gpus State=UNKNOWN

# Jobs of \`high\` preempt those of \`grace\` and \`cancel\`, and none of \`test\`.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=DEFAULT Nodes=ALL DefaultTime=10 MaxTime=INFINITE DefMemPerCPU=100
PartitionName=test Default=YES PreemptMode=OFF
PartitionName=grace PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=cancel PriorityTier=1 PreemptMode=CANCEL
PartitionName=high PriorityTier=10 PreemptMode=OFF
CONF
}

start() {
    [[ $EUID == 0 ]] || die "needs root: slurmd starts jobs for other users"
    # A socket's path has room for 107 characters; this is the longest.
    local socket=$dir/spool/${HOSTNAME%%.*}_99999.4294967291
    ((${#socket} < 108)) || die "the path $dir is too long for a socket in it"
    [[ ! -e $dir/slurm.conf ]] || die "$dir already holds a SLURM"
    mkdir -p "$dir"/{state,spool}
    install_slurm
    export SLURM_CONF=$dir/slurm.conf
    write_config

    (umask 077 && head -c 128 /dev/urandom >"$dir/munge.key")
    # --force: DIR may lie below a directory that only root can enter, which munged warns of.
    munged --force --num-threads=2 --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
        --pid-file="$dir/munge.pid" --log-file="$dir/munge.log" --seed-file="$dir/munge.seed" \
        >>"$dir/start.log" 2>&1 || die "munged failed, see $dir/munge.log"
    slurmctld -f "$SLURM_CONF" >>"$dir/start.log" 2>&1 || failed "slurmctld failed"
    slurmd -f "$SLURM_CONF" >>"$dir/start.log" 2>&1 || failed "slurmd failed"

    local deadline=$((SECONDS + 30))
    until [[ $(sinfo -h -o %t 2>/dev/null) == idle ]]; do
        ((SECONDS < deadline)) || failed "the node is not idle after 30 s"
        sleep 0.1
    done
    echo "export SLURM_CONF=$SLURM_CONF"
}

failed() {
    echo "slurm.sh: $1, see the logs in $dir" >&2
    tail -n 20 "$dir"/{start,slurmctld,slurmd}.log >&2 || true
    stop
    exit 1
}

# Prints the ids of the daemons of DIR that run. A pid file may be stale, and its number another
# process's by now, so the command line must name DIR too.
daemons() {
    local name pid
    for name in slurmctld slurmd munge; do
        pid=$(cat "$dir/$name.pid" 2>/dev/null) || continue
        if grep -qF "$dir/" "/proc/$pid/cmdline" 2>/dev/null; then echo "$pid"; fi
    done
}

stop() {
    [[ -e $dir/slurm.conf ]] || return 0
    export SLURM_CONF=$dir/slurm.conf
    local deadline pids
    # Jobs first, while there is a slurmd to end them: what a job left running goes with it.
    if [[ $(scontrol ping 2>/dev/null) == *UP* ]]; then
        scancel --quiet --user=root || true
        deadline=$((SECONDS + 20))
        until [[ -z $(squeue -h 2>/dev/null) ]] || ((SECONDS > deadline)); do sleep 0.1; done
    fi
    deadline=$((SECONDS + 10))
    local signal=TERM
    while mapfile -t pids < <(daemons) && ((${#pids[@]})); do
        ((SECONDS < deadline)) || signal=KILL
        kill -"$signal" "${pids[@]}" 2>/dev/null || true
        sleep 0.1
    done
    rm -f "$dir"/{slurmctld,slurmd,munge}.pid
    # Without cgroups a process that left its job's session (setsid) outlives the job. Every process
    # of a job carries the name of its cluster, and the port in it makes that one unique.
    mapfile -t pids < <(
        grep -lzx "SLURM_CLUSTER_NAME=$(sed -n 's/^ClusterName=//p' "$SLURM_CONF")" \
            /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
    )
    if ((${#pids[@]})); then kill -KILL "${pids[@]}" 2>/dev/null || true; fi
}

usage='usage: slurm.sh start|stop DIR'
dir=$(realpath -m "${2:?$usage}")
case $1 in
start) start ;;
stop) stop ;;
*) die "$usage" ;;
esac
