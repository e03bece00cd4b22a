#!/usr/bin/env bash
# Runs clang-tidy with the configuration in .clang-tidy; needs a configured
# build/.
#
#   scripts/lint.sh JOBS               every source in build/compile_commands.json
#   scripts/lint.sh JOBS --changed     sources that differ from HEAD
#   scripts/lint.sh JOBS a.cc b.cc     these
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=$1
shift
files=("$@")
if [[ "${1:-}" == --changed ]]; then
  changed=$(git diff --name-only --diff-filter=d HEAD -- '*.cc')
  added=$(git ls-files --others --exclude-standard -- '*.cc')
  mapfile -t files < <(printf '%s\n' "$changed" "$added" | sed '/^$/d')
  if ((${#files[@]} == 0)); then
    echo "lint: nothing changed"
    exit 0
  fi
fi

# run-clang-tidy takes regular expressions over absolute paths. CUDA's sources are
# compiled with options that clang does not know.
patterns=()
if ((${#files[@]} == 0)); then patterns=('\.cc$'); fi
for file in ${files[@]+"${files[@]}"}; do
  patterns+=("^$(realpath "$file" | sed 's/[][\.*^$+?(){}|]/\\&/g')\$")
done
exec run-clang-tidy -quiet -p build -j "$jobs" ${patterns[@]+"${patterns[@]}"}
