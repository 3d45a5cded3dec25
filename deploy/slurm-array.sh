#!/usr/bin/env bash
# Sampling as a Slurm array: each task makes every N-th shard. A task that dies or runs out of time loses only the shard
# in progress; submit it again and it resumes.
#
#   sbatch --array=0-7 deploy/slurm-array.sh --shards /scratch/me/shards --engine /scratch/me/bundle --plan plan.csv
#
# Tried: run by bash with the variables that Slurm sets, tasks 0 to 2 of 3 on one machine (tests/test_deploy.py).
# Not tried: no Slurm was available.
#SBATCH --job-name=dermforge
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=08:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@60
#SBATCH --output=%x-%A_%a.log
set -euo pipefail

first=${SLURM_ARRAY_TASK_MIN:-0}
worker=$((${SLURM_ARRAY_TASK_ID:-0} - first))
workers=${SLURM_ARRAY_TASK_COUNT:-1}

# With apptainer: GEN="apptainer exec --nv dermforge.sif gen"
read -ra gen <<< "${GEN:-gen}"
exec "${gen[@]}" sample --worker "$worker/$workers" "$@"
