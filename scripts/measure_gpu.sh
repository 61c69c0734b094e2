#!/usr/bin/env bash
# A quarter of an hour with a GPU: tests, benchmark, profile of the slowest row. What is done stays when time is over.
#
#   bash scripts/measure_gpu.sh FOLDER [tests] [benchmark] [profile]
#
# Needs no network, Snakemake or make: Python with torch, transformers and what else is found in results/gpu-wheels
# (`make gpu-wheels` on a machine with a network). Output goes to FOLDER, which may be reached at any time. LIMIT is in
# seconds, of all parts together: what a part leaves is the next one's, and none begins that would end later.
set -uo pipefail
cd "$(dirname "$0")/.."
folder=${1:?a folder for the output}
shift
limit=${LIMIT:-570}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
python=$(command -v python3 || command -v python)

absent() { # prints which packages are not there, of pairs of module=package
  "$python" - "$@" <<'END'
import importlib.util
import sys

pairs = [pair.split("=") for pair in sys.argv[1:]]
print(*(package for module, package in pairs if importlib.util.find_spec(module) is None))
END
}

needed="torch=torch transformers=transformers accelerate=accelerate msgspec=msgspec yaml=PyYAML psutil=psutil"
needed="$needed pytest=pytest iniconfig=iniconfig pluggy=pluggy pygments=pygments packaging=packaging"
# shellcheck disable=SC2086
missing=$(absent $needed pyarrow=pyarrow)
if [ -n "$missing" ]; then
  # shellcheck disable=SC2086
  "$python" -m pip install --quiet --no-index --no-deps --find-links results/gpu-wheels $missing
  # shellcheck disable=SC2086
  missing=$(absent $needed)
  if [ -n "$missing" ]; then
    echo "missing: $missing: make gpu-wheels fetches them to results/gpu-wheels on a machine with a network" >&2
    exit 1
  fi
fi
{
  date -u
  nvidia-smi
  "$python" -c 'import sys, torch, transformers; print(sys.version, torch.__version__, transformers.__version__)'
} >"$folder/machine.txt" 2>&1
# side by side: most of their time goes into compiling kernels and starting up, which the GPU waits for
several=$([ -n "$(absent xdist=xdist)" ] || echo "-p xdist -n 4")

part() { # name, seconds, command...
  local name=$1 seconds=$2 left=$((limit - SECONDS))
  shift 2
  if [ "$left" -lt 30 ]; then
    echo "== $name: no time" | tee "$folder/$name.txt"
    return
  fi
  [ "$left" -ge "$seconds" ] || seconds=$left
  echo "== $name, at most $seconds s"
  timeout --signal=INT --kill-after=10 "$seconds" "$@" 2>&1 | tee "$folder/$name.txt"
  echo "== $name ended with ${PIPESTATUS[0]}" | tee -a "$folder/$name.txt"
}

for name in "${@:-tests benchmark profile}"; do
  for one in $name; do
    case $one in
      # shellcheck disable=SC2086
      tests) part tests 240 "$python" -m pytest -v -m gpu -p no:cacheprovider $several tests/gpu ;;
      benchmark)
        seconds=$((limit - SECONDS < 250 ? limit - SECONDS : 250))
        rest=$((seconds > 22 ? seconds - 22 : 0))  # its tables are printed behind them
        minutes=$(printf '%d.%02d' $((rest / 60)) $((rest % 60 * 100 / 60)))
        part benchmark "$seconds" "$python" scripts/benchmark_gpu.py --minutes "$minutes" --output-dir "$folder"
        ;;
      profile) part profile 100 "$python" scripts/benchmark_gpu.py --parts profile --output-dir "$folder" ;;
      *) echo "unknown part: $one" >&2 && exit 1 ;;
    esac
  done
done
