#!/usr/bin/env bash
# Checks and measures the CUDA backend on this machine's GPU, in under ten minutes:
# every kernel against its reference, the small checks under compute-sanitizer, the
# kernels' benchmarks, and whole models with random weights.
#
#   bench/gpu.sh [RESULTS]    a folder for logs, results.json and table.txt
#
# Runs what bench/gpu_pack.sh packed, from where it was unpacked, or build/cuda/bin
# of a source tree (make cuda): gpu_check, gpu_fault_check, every gpu_*_test, every
# gpu_*_benchmark and gpu_end_to_end. Nothing else is needed but the driver; cuBLASLt
# and compute-sanitizer are used where they are found. Exit status: 0 all passed, 1 a
# step failed or ran out of time, 2 there is no usable GPU.
set -uo pipefail

readonly here=$(cd "$(dirname "$0")" && pwd)
if [[ -d $here/bin ]]; then
  readonly bin=$here/bin
  export LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
else
  readonly bin=$here/../build/cuda/bin
fi
readonly results=${1:-gpu-results}
readonly deadline=$((SECONDS + 570))
readonly for_models=210  # seconds of it that are kept for the last step
mkdir -p "$results" || exit 1

if [[ ! -x $bin/gpu_check ]]; then
  echo "gpu: no programs in $bin; run 'make cuda', or unpack a pack" >&2
  exit 2
fi

# CUDA's own words on why there is no GPU, and the end.
if ! timeout 60 "$bin/gpu_check" Base.DeviceIsHealthy \
  >"$results/device.log" 2>&1; then
  echo "gpu: no usable GPU:" >&2
  cat "$results/device.log" >&2
  exit 2
fi
readonly device=$(sed -n 's/^device //p' "$results/device.log")
echo "device $device"

# Where CUDA is not on the loader's path: a toolkit's or a Python package's.
find_cublaslt() {
  local name
  for name in libcublasLt.so.13 libcublasLt.so.12; do
    timeout 20 find /usr/local /usr/lib /opt "$HOME" -name "$name" 2>/dev/null |
      head -n 1 | grep . && return
  done
}
if [[ -z ${TACIT_CUBLASLT:-} ]] &&
  ! ldconfig -p 2>/dev/null | grep -q 'libcublasLt\.so\.1[23]'; then
  found=$(find_cublaslt)
  if [[ -n $found ]]; then
    echo "cuBLASLt $found"
    export TACIT_CUBLASLT=$found
  fi
fi

failed=0
steps=()
steps_end=$((deadline - for_models))

# step NAME LIMIT COMMAND...: runs it with a limit in seconds, or with what is left
# until steps_end; output goes to a log.
step() {
  local name=$1 limit=$2 left=$((steps_end - SECONDS)) began=$SECONDS rc state
  shift 2
  if ((left < 5)); then
    rc=124
  else
    timeout --kill-after=5 "$((limit < left ? limit : left))" "$@" \
      >"$results/$name.log" 2>&1
    rc=$?
  fi
  case $rc in
    0) state=passed ;;
    124 | 137) state="out of time" ;;
    *) state=failed ;;
  esac
  record "$name" "$state" "$((SECONDS - began))"
  if ((rc != 0)); then
    failed=1
    tail -n 15 "$results/$name.log" 2>/dev/null | sed 's/^/    /'
  fi
}

record() {
  printf '%-36s %-12s %4s s\n' "$1" "$2" "$3"
  steps+=("{\"name\": \"$1\", \"state\": \"$2\", \"seconds\": $3}")
}

step gpu_check 150 "$bin/gpu_check"
step gpu_fault_check 60 "$bin/gpu_fault_check"
for program in "$bin"/gpu_*_test; do
  if [[ ! -x $program ]]; then continue; fi
  # The same checks again, one by one.
  if [[ $(basename "$program") == gpu_check_test ]]; then continue; fi
  step "$(basename "$program")" 90 "$program"
done

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer \
  2>/dev/null)
for tool in memcheck racecheck; do
  if [[ -n $sanitizer ]]; then
    step "sanitizer_$tool" 75 "$sanitizer" --tool "$tool" --error-exitcode 3 \
      "$bin/gpu_check" --small
  else
    record "sanitizer_$tool" "not there" 0
  fi
done

for program in "$bin"/gpu_*_benchmark; do
  if [[ ! -x $program ]]; then continue; fi
  name=$(basename "$program")
  step "$name" 150 "$program" --benchmark_min_time=0.05 \
    --benchmark_counters_tabular=true --benchmark_out_format=json \
    "--benchmark_out=$results/$name.json"
  # Google Benchmark ends with 0 whatever happened to a benchmark.
  if grep -q 'ERROR OCCURRED' "$results/$name.log"; then
    echo "    benchmarks with errors:"
    grep 'ERROR OCCURRED' "$results/$name.log" | sed 's/^/    /'
    failed=1
  fi
done

steps_end=$deadline
rm -f "$results/gpu_end_to_end.json"
step gpu_end_to_end 300 "$bin/gpu_end_to_end" --json "$results/gpu_end_to_end.json"

{
  printf '{"device": "%s", "version": "%s", "passed": %s,\n "steps": [' \
    "$device" "$(cat "$here/version" 2>/dev/null || echo unknown)" \
    "$( ((failed)) && echo false || echo true)"
  (IFS=,; echo -n "${steps[*]}")
  printf '],\n "benchmarks": {'
  separator=
  for file in "$results"/gpu_*_benchmark.json; do
    if [[ ! -s $file ]]; then continue; fi
    printf '%s"%s": ' "$separator" "$(basename "$file" .json)"
    cat "$file"
    separator=,
  done
  printf '},\n "end_to_end": '
  # There is none if not even the first model was measured.
  cat "$results/gpu_end_to_end.json" 2>/dev/null || echo null
  printf '}\n'
} >"$results/results.json"

{
  echo "device $device"
  for file in "$results"/gpu_*_benchmark.log; do
    if [[ -s $file ]]; then grep -E '^(BM_|Benchmark)' "$file"; fi
  done
  # Without lines on its progress.
  grep -v '^gpu_end_to_end: ' "$results/gpu_end_to_end.log" 2>/dev/null
} | tee "$results/table.txt"
((failed)) && echo "gpu: something failed; logs are in $results" >&2
exit "$failed"
