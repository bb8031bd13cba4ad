#!/usr/bin/env bash
# A one-node Slurm for the cluster tests, in a throw-away folder: no systemd, no database, no cgroups, any user.
#
#   slurm.sh install          Debian's packages, where they are missing and the caller is root
#   slurm.sh run COMMAND...   start Slurm, run a command in it, stop Slurm however the command ends
#
# `slurm.sh run bash` is a shell beside the cluster. The node declares more CPUs, memory and GPUs than there
# are; Slurm schedules by these figures and enforces none but the time limit.
set -euo pipefail

PACKAGES=(slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge)
CPUS=10 MEMORY_MB=65536 GPUS=2
GPU_DEVICES=(/dev/null /dev/zero) # a GPU must be a character device; without cgroups it is never opened
export PATH=$PATH:/usr/sbin:/sbin

missing() {
  local program
  for program in munged mungekey slurmctld slurmd sbatch; do
    command -v "$program" > /dev/null || return 0
  done
  return 1
}

install() {
  missing || return 0
  if [[ $(id -u) != 0 ]] || ! command -v apt-get > /dev/null; then
    echo "slurm.sh: Slurm is not installed; on Debian: sudo apt-get install ${PACKAGES[*]}" >&2
    return 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "${PACKAGES[@]}" > /dev/null
}

free_ports() { # free_ports COUNT: that many ports that nobody listens on
  python3 - "$1" << 'PYTHON'
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in sockets))
PYTHON
}

configure() { # configure FOLDER
  local user host controller_port node_port program i
  user=$(id -un) host=$(hostname -s)
  read -r controller_port node_port < <(free_ports 2)
  cat > "$1/slurm.conf" << CONF
ClusterName=pipeline-test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller_port
SlurmdPort=$node_port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$1/munge.socket
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool
SlurmctldPidFile=$1/slurmctld.pid
SlurmdPidFile=$1/slurmd.pid
SlurmctldLogFile=$1/slurmctld.log
SlurmdLogFile=$1/slurmd.log
# processes are followed through /proc
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
# every request is looked at at once; cores, memory and GPUs are all counted
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
# what squeue knows of finished jobs takes the place of a database, comments included
AccountingStorageType=accounting_storage/none
AccountingStoreFlags=job_comment
MinJobAge=3600
KillWait=5
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=$MEMORY_MB Gres=gpu:$GPUS
PartitionName=cpu Nodes=$host Default=YES MaxTime=INFINITE
PartitionName=gpu Nodes=$host MaxTime=INFINITE
CONF
  echo CgroupAutomount=no > "$1/cgroup.conf" # is read even where no cgroups are used
  for ((i = 0; i < GPUS; i++)); do echo "Name=gpu File=${GPU_DEVICES[i]}"; done > "$1/gres.conf"
  # Snakemake drops the variable that says where slurm.conf lies before it calls these from within a job
  for program in srun sbatch squeue sacct sinfo scontrol scancel; do
    printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$1/slurm.conf" "$(command -v $program)" > "$1/bin/$program"
  done
  chmod +x "$1"/bin/*
}

start() { # start FOLDER
  mkdir "$1"/{bin,state,spool}
  chmod 755 "$1" # munged wants a socket that all may reach
  configure "$1"
  mungekey --create --keyfile "$1/munge.key"
  munged --force --key-file "$1/munge.key" --socket "$1/munge.socket" --pid-file "$1/munged.pid" \
    --log-file "$1/munged.log" --seed-file "$1/munged.seed"
  export SLURM_CONF=$1/slurm.conf PATH=$1/bin:$PATH
  slurmctld
  slurmd
  local i
  for ((i = 0; i < 100; i++)); do
    [[ $(sinfo --noheader --partition cpu --format %t 2> /dev/null) == idle ]] && return
    sleep 0.2
  done
  tail -n 5 "$1"/*.log >&2
  echo "slurm.sh: the node did not come up within 20 s" >&2
  return 1
}

stop() { # stop FOLDER: ends the jobs, then the processes of the folder's pid files
  local name pid i
  timeout 10 scancel --user "$(id -un)" 2> /dev/null || true
  for ((i = 0; i < 40; i++)); do
    [[ -z $(timeout 5 squeue --noheader 2> /dev/null) ]] && break
    sleep 0.2
  done
  for name in slurmd slurmctld munged; do
    pid=$(cat "$1/$name.pid" 2> /dev/null) || continue
    kill "$pid" 2> /dev/null || continue
    for ((i = 0; i < 50; i++)); do kill -0 "$pid" 2> /dev/null || break; sleep 0.1; done
  done
}

run() {
  local status=0
  folder=$(mktemp -d "${TMPDIR:-/tmp}/slurm-XXXXXX") # a short path: a socket lies in it
  trap 'stop "$folder"' EXIT
  start "$folder"
  "$@" || status=$?
  trap - EXIT
  stop "$folder"
  if ((status)); then
    echo "slurm.sh: the logs of Slurm are in $folder" >&2
  else
    rm -rf "$folder"
  fi
  return "$status"
}

case ${1:-} in
  install) install ;;
  run) shift && run "$@" ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
