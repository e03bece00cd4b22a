#!/usr/bin/env bash
# Builds the CUDA backend's programs and packs them, with the libraries that they
# need and bench/gpu.sh, for a machine that has a GPU and its driver: unpack there
# and run ./gpu.sh.
#
#   bench/gpu_pack.sh [PACK.tar.gz]    default: build/gpu-pack.tar.gz
#
# CUDA_ARCHITECTURES=90a compiles for one architecture alone. Not packed: glibc
# and libstdc++, which must be as new as here, and cuBLASLt, which is half a
# gigabyte and comes with CUDA (gpu.sh looks for it).
set -euo pipefail
cd "$(dirname "$0")/.."

readonly pack=${1:-build/gpu-pack.tar.gz}
readonly max_bytes=$((60 << 20))
readonly folder=build/gpu-pack

make cuda
rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/lib"
for program in build/cuda/bin/gpu_*; do
  strip --strip-all -o "$folder/bin/$(basename "$program")" "$program"
done

# What every system with a compiler has is left out.
readonly system='/(ld-linux.*|lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s))\.so'
ldd "$folder"/bin/* | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u |
  { grep -Ev "$system" || true; } | while read -r library; do
  cp --dereference "$library" "$folder/lib/"
done
cp bench/gpu.sh "$folder/"
git describe --always --dirty >"$folder/version" 2>/dev/null || true

tar -C "$folder" -czf "$pack" .
readonly bytes=$(stat -c %s "$pack")
echo "gpu_pack: $pack, $bytes bytes, $(ls "$folder/bin" | wc -l) programs"
if ((bytes > max_bytes)); then
  echo "gpu_pack: more than $max_bytes bytes: compile for fewer architectures" \
    "(CUDA_ARCHITECTURES=90a)" >&2
  exit 1
fi
