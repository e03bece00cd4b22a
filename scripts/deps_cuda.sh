#!/usr/bin/env bash
# Installs CUDA's compiler into build/cuda-toolkit, where CMake finds it: enough
# to build the CUDA backend on a machine without a GPU. About 300 MB; no root.
# cuBLASLt is not among it: it is loaded when the program runs, and only there.
#
#   scripts/deps_cuda.sh [13.0]    the version of CUDA
set -euo pipefail
cd "$(dirname "$0")/.."

readonly version=${1:-13.0}
readonly folder=build/cuda-toolkit
readonly stamp=$folder/installed-$version
if [[ -e $stamp ]]; then exit 0; fi
if [[ $version != 13.* ]]; then
  echo "deps-cuda: installs CUDA 13; for $version, install the vendor's toolkit" \
    "and set CMAKE_CUDA_COMPILER to its nvcc" >&2
  exit 2
fi

scripts/deps.sh --auto python
echo "deps-cuda: installing CUDA $version into $folder"
rm -rf "$folder"
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check \
  "nvidia-cuda-nvcc==$version.*" "nvidia-cuda-crt==$version.*" \
  "nvidia-nvvm==$version.*" "nvidia-cuda-runtime==$version.*" \
  "nvidia-cuda-cccl==$version.*"

# The packages lack what a toolkit's folder has: lib64 and unversioned names.
readonly toolkit=$(echo "$PWD/$folder"/lib/python3*/site-packages/nvidia/cu13)
ln -sfn "${toolkit#"$PWD/$folder/"}" "$folder/cuda"
ln -sfn lib "$toolkit/lib64"
for library in "$toolkit"/lib/*.so.*; do
  ln -sfn "$(basename "$library")" "${library%.so.*}.so"
done
"$folder/cuda/bin/nvcc" --version | tail -n 2 | head -n 1
touch "$stamp"
