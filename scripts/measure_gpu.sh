#!/usr/bin/env bash
# A quarter of an hour with a GPU: tests, benchmark, profile of the slowest row. What is done stays when time is over.
#
#   bash scripts/measure_gpu.sh FOLDER [tests] [benchmark] [profile]
#
# Needs no network, Snakemake or make: Python with torch, transformers and what else is found in results/gpu-wheels
# (`make gpu-wheels` on a machine with a network). Output goes to FOLDER, which may be reached at any time.
set -uo pipefail
cd "$(dirname "$0")/.."
folder=${1:?a folder for the output}
shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
python=$(command -v python3 || command -v python)

missing=$("$python" - <<'END'
import importlib.util
modules = {"pytest": "pytest", "accelerate": "accelerate", "pyarrow": "pyarrow", "psutil": "psutil", "yaml": "PyYAML"}
print(*(package for module, package in modules.items() if importlib.util.find_spec(module) is None))
END
)
if [ -n "$missing" ]; then
  # shellcheck disable=SC2086
  "$python" -m pip install --quiet --no-index --find-links results/gpu-wheels $missing || echo "missing: $missing"
fi
{
  date -u
  nvidia-smi
  "$python" -c 'import sys, torch, transformers; print(sys.version, torch.__version__, transformers.__version__)'
} >"$folder/machine.txt" 2>&1

part() { # name, seconds, command...
  local name=$1 seconds=$2
  shift 2
  echo "== $name, at most $seconds s"
  timeout --signal=INT --kill-after=10 "$seconds" "$@" 2>&1 | tee "$folder/$name.txt"
  echo "== $name ended with ${PIPESTATUS[0]}" | tee -a "$folder/$name.txt"
}

for name in "${@:-tests benchmark profile}"; do
  for one in $name; do
    case $one in
      tests) part tests 240 "$python" -m pytest -v -m gpu -p no:cacheprovider tests/gpu ;;
      benchmark) part benchmark 250 "$python" scripts/benchmark_gpu.py --output-dir "$folder" ;;
      profile) part profile 100 "$python" scripts/benchmark_gpu.py --parts profile --output-dir "$folder" ;;
      *) echo "unknown part: $one" >&2 && exit 1 ;;
    esac
  done
done
