#!/usr/bin/env bash
# A private one-node SLURM for tests: `slurm.sh start DIR` | `slurm.sh stop DIR`.
#
# Everything it owns lies in DIR: configuration, key, sockets, state and logs. Nothing in /etc is
# read or written, so any number of them run side by side, beside a SLURM of the machine's own too.
# `start` prints the line that points a shell at it: eval "$(slurm.sh start DIR)".
set -euo pipefail

gpus=16 # four elements of train.sbatch (gpu:4) side by side

die() {
    echo "slurm.sh: $*" >&2
    exit 1
}

install_slurm() {
    command -v slurmctld slurmd munged >/dev/null && return
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
    local host
    host=$(hostname -s)
    # slurmd wants a character device for every GPU; a link to one will do, and needs no mknod.
    local i
    for ((i = 0; i < gpus; i++)); do ln -s /dev/null "$dir/gpu$i"; done
    echo "NodeName=$host Name=gpu File=$dir/gpu[0-$((gpus - 1))]" >"$dir/gres.conf"

    cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
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
# A requeued job waits cred_expire seconds before it may start again (120 by default).
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
PartitionName=test Nodes=ALL Default=YES DefaultTime=10 MaxTime=INFINITE DefMemPerCPU=100
CONF
}

start() {
    [[ $EUID == 0 ]] || die "needs root: slurmd starts jobs for other users"
    # A socket's path has room for 107 characters; the longest is DIR/spool/HOST_JOB.STEP.
    ((${#dir} < 70)) || die "the path $dir is too long for a socket in it"
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

# The processes of this SLURM: daemons are named by their pid files (the command line is compared,
# for a number may have been given to another process since), jobs by their environment.
daemons() {
    local name pid
    for name in slurmctld slurmd munge; do
        pid=$(cat "$dir/$name.pid" 2>/dev/null) || continue
        if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$dir/"; then echo "$pid"; fi
    done
}

stop() {
    [[ -e $dir/slurm.conf ]] || return 0
    export SLURM_CONF=$dir/slurm.conf
    local deadline=$((SECONDS + 15)) pid
    if [[ $(scontrol ping 2>/dev/null) == *UP* ]]; then
        scancel --state=PENDING,RUNNING,SUSPENDED --user="$USER" 2>/dev/null
    fi
}
dir=$(realpath -m "${2:?usage: slurm.sh start|stop DIR}")
case $1 in start) start ;; stop) stop ;; *) die "usage: slurm.sh start|stop DIR" ;; esac
