#!/usr/bin/env bash
# What runs on a GPU, how right and how fast: writes docs/evidence/gpu.md.
#
#   scripts/evidence/gpu.sh                  on one GPU, nine minutes at most
#   scripts/evidence/gpu.sh cpu OUT.md       tries it out, at tiny sizes
#
# Each part prints as it goes, into the page too, and is ended at its own time limit.
set -uo pipefail
cd "$(dirname "$0")/../.."
device=${1:-cuda} page=${2:-docs/evidence/gpu.md}
python=${PYTHON:-.venv/bin/python}
export PYTHONUNBUFFERED=1
data=(--data_dir="${DATA_DIR:-data}")
slower=1 tests=(-k "") sizes=(--sets=resnet50 --steps=20) models=() workloads=() large=32
entries=adamw,schedule_free_adamw,refined_schedule_free
if [ "$device" = cpu ]; then
  export CUDA_VISIBLE_DEVICES= JAX_PLATFORMS=cpu
  slower=4 tests=(-k "schedule_free_adamw and specification and foreach")
  sizes=(--sets=tiny --steps=3)
  models=(--tiny) entries=refined_schedule_free
  workloads=(--workloads=flights_dlrm --steps=3) large=2
fi

part() { # TITLE SECONDS ARGUMENTS: a command of Python
  local title=$1 seconds=$((slower * $2)) start=$SECONDS
  shift 2
  printf '\n## %s\n\n```\n$ python %s\n' "$title" "$*"
  timeout "$seconds" "$python" "$@" 2>&1 | grep --line-buffered -v '^USDT:\|dataset_info.py\|dataset_builder.py' # torch's, TFDS's
  local status=${PIPESTATUS[0]}
  case $status in
    0) echo "(done after $((SECONDS - start)) s)" ;;
    124) echo "(ended at its limit of $seconds s)" ;;
    *) echo "(ended with status $status)" ;;
  esac
  echo '```'
}

{
  printf '# On a GPU\n\n`scripts/evidence/gpu.sh%s`, ' "${1:+ $1}"
  date '+%d %B %Y.'
  "$python" - <<'END'
import importlib.metadata as metadata, platform, torch
from unscheduled.runner.machine import cpu_model_name
gpu = torch.cuda.is_available() and torch.cuda.get_device_name()
print(gpu or f"No GPU was at hand: tiny sizes, to try the command, on {cpu_model_name()}.")
names = ("torch", "jax", "optax")
versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
print(f"Python {platform.python_version()}, {versions}.")
END
  part "Right: optimizers against the specification, entries without a wait" 110 \
    -m pytest -p no:xdist -p no:cacheprovider tests/gpu -m gpu "--device=$device" \
    "${data[@]}" "${tests[@]}" -q -rs --tb=short
  part "Optimizers alone" 45 scripts/benchmark_optimizers.py --frameworks=torch \
    "--device=$device" "${sizes[@]}"
  part "Whole entries in PyTorch, each step waited for" 60 \
    -m tests.gpu.steps --framework=pytorch --models=ResNet,Conformer-sized \
    "--algorithms=$entries" ${models[@]+"${models[@]}"}
  for scale in 1 "$large"; do
    part "Embedded workloads in PyTorch, sizes times $scale" 45 \
      -m tests.gpu.workloads --framework=pytorch "--scale=$scale" "${data[@]}" \
      ${workloads[@]+"${workloads[@]}"}
  done
  part "Whole entries in JAX" 55 \
    -m tests.gpu.steps --framework=jax --models=ResNet "--algorithms=$entries" \
    ${models[@]+"${models[@]}"}
  part "Embedded workloads in JAX" 150 \
    -m tests.gpu.workloads --framework=jax "${data[@]}" \
    ${workloads[@]+"${workloads[@]}"}
} | tee "$page"
