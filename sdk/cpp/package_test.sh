#!/usr/bin/env bash
# Installs the SDK, builds its example outside the tree against what was
# installed, and has it answer from a deployment as `tacit infer` does.
#
#   package_test.sh CMAKE BUILD_DIR TACIT
set -euo pipefail

cmake=$1
build=$2
tacit=$3
example=$(cd "$(dirname "$0")/example" && pwd)
work=$(mktemp -d)
up=
cleanup() {
  if [[ -n "$up" ]]; then kill "$up" && wait "$up" || true; fi
  rm -rf "$work"
}
trap cleanup EXIT

"$cmake" --install "$build" --prefix "$work/prefix" --component sdk
"$cmake" -S "$example" -B "$work/example" -DCMAKE_PREFIX_PATH="$work/prefix"
"$cmake" --build "$work/example"

"$tacit" up --context 128 --dir "$work/deployment" &
up=$!
for ((i = 0; i < 300; ++i)); do
  if "$tacit" status --config "$work/deployment/gateway.yaml" \
    >/dev/null 2>&1; then
    break
  fi
  kill -0 "$up"
  sleep 0.2
done

config=$work/deployment/gateway.yaml
want=$("$tacit" infer --config "$config" --max-tokens 12 "Lily wanted a")
got=$("$work/example/infer" "$config" 12 "Lily wanted a")
if [[ "$got" != "$want" ]]; then
  printf 'the example prints\n  %s\ninstead of\n  %s\n' "$got" "$want" >&2
  exit 1
fi
if "$work/example/infer" "$config" 12 "" 2>"$work/error"; then
  echo "an empty prompt was taken" >&2
  exit 1
fi
grep -q "the prompt is empty" "$work/error"
echo "the installed SDK answers as tacit infer: $got"
