#!/bin/bash
# Train on two nodes under SLURM, one process a node: sbatch jobs/slurm.sh
#
# Not run on a cluster. Tried on one machine with SLURM's variables set by hand: JAX reads the
# number of processes, the own number and the address of process 0 from them.
#
# The folder of the run must be on a file system that all nodes share. If a node fails, srun ends
# the step everywhere, SLURM queues the job again, and the run goes on after its last checkpoint.
# Two nodes under a name such as node[01-02]: process 0 listens on the first.

#SBATCH --job-name=recflax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
# with GPUs: as many tasks a node, and JAX gives each task the GPU of its place on the node
##SBATCH --gpus-per-node=1
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append

set -e

# a failed step ends as a failure of the node does: queued again, at most five times
again() { [ "${SLURM_RESTART_COUNT:-0}" -lt 5 ] && scontrol requeue "$SLURM_JOB_ID"; }
trap again ERR

srun --kill-on-bad-exit=1 \
  python -m recflax.scale.processes \
  --cluster slurm \
  --folder "$SLURM_SUBMIT_DIR/run" \
  --histories "$SLURM_SUBMIT_DIR/histories.npy" \
  --items 1000000 \
  --width 64 \
  --batch 1024 \
  --steps 20000 \
  --save-every 500 \
  --lost-after 60
