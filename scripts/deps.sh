#!/usr/bin/env bash
# Installs the Debian/Ubuntu packages that Tacit needs.
#
#   scripts/deps.sh [--auto] [build] [python] [format] [lint] [dev]
#
# Groups: build (default), python (for the Python SDK's tests), format
# (clang-format), lint (clang-tidy and what it runs on), dev (all of them). Silent when everything is there. Runs as root or
# through sudo. With --auto, an unknown system gets a note instead of an error.
set -euo pipefail

readonly build_packages=(
  make g++ cmake ninja-build ccache pkg-config valgrind
  libabsl-dev libgtest-dev libgmock-dev libbenchmark-dev libspdlog-dev
  libssl-dev libhwy-dev libxxhash-dev libeigen3-dev nlohmann-json3-dev
  libcli11-dev
  libprotobuf-dev protobuf-compiler libgrpc++-dev protobuf-compiler-grpc
  libyaml-cpp-dev prometheus-cpp-dev
)
readonly min_cargo=1.80
readonly python_packages=(python3 python3-venv)
readonly format_packages=(clang-format)
readonly lint_packages=(clang clang-tidy python3-yaml)

# Rust for the tokenizers. Debian 12's plain cargo is too old; the toolchain that
# its browsers are built with is not. Nothing if a cargo on the PATH, such as
# rustup's, will do.
rust_packages() {
  local version
  version=$(cargo --version 2>/dev/null | cut -d ' ' -f 2 || true)
  if [[ -n "$version" && $(printf '%s\n' "$min_cargo" "$version" | sort -V |
    head -n 1) == "$min_cargo" ]]; then
    return
  fi
  if [[ $(. /etc/os-release 2>/dev/null && echo "${ID:-}${VERSION_ID:-}") == \
    debian12 ]]; then
    echo cargo-web rustc-web
  else
    echo cargo rustc
  fi
}

auto=false
wanted=()
for argument in "$@"; do
  case "$argument" in
    --auto) auto=true ;;
    build) wanted+=("${build_packages[@]}" $(rust_packages)) ;;
    python) wanted+=("${python_packages[@]}") ;;
    format) wanted+=("${format_packages[@]}") ;;
    lint) wanted+=("${lint_packages[@]}") ;;
    dev)
      wanted+=("${build_packages[@]}" $(rust_packages)
        "${python_packages[@]}" "${format_packages[@]}"
        "${lint_packages[@]}")
      ;;
    *)
      echo "usage: $0 [--auto] [build] [format] [lint] [dev]" >&2
      exit 2
      ;;
  esac
done
if ((${#wanted[@]} == 0)); then
  wanted=("${build_packages[@]}" $(rust_packages))
fi

# The releases that have all of these under these names, recent enough.
supported_system() {
  command -v apt-get >/dev/null && command -v dpkg-query >/dev/null || return 1
  [[ -r /etc/os-release ]] || return 1
  local id version
  id=$(. /etc/os-release && echo "${ID:-}")
  version=$(. /etc/os-release && echo "${VERSION_ID:-9999}")  # none: testing
  case "$id" in
    debian) dpkg --compare-versions "$version" ge 12 ;;
    ubuntu) dpkg --compare-versions "$version" ge 23.04 ;;
    *) return 1 ;;
  esac
}

if ! supported_system; then
  if $auto; then
    echo "deps: not Debian >= 12 or Ubuntu >= 23.04; 'make deps' lists what" \
      "the build needs" >&2
    exit 0
  fi
  cat >&2 <<'END'
deps: packages can be installed on Debian >= 12 and Ubuntu >= 23.04 only.
On another system, install these yourself:
  build   GCC >= 12 or Clang >= 15 (C++20), CMake >= 3.25, Ninja, pkg-config;
          ccache if you like
  C++     Abseil >= 20220623, GoogleTest and GoogleMock, Google Benchmark,
          spdlog, OpenSSL 3, Highway >= 1.0.3, xxHash, Eigen 3.4, nlohmann-json,
          CLI11, yaml-cpp, prometheus-cpp (with pull), Protocol Buffers and
          gRPC >= 1.51 with their compilers
  Rust    cargo and rustc >= 1.80
  tools   clang-format 14 and clang-tidy (make format, make lint)
END
  exit 1
fi

missing=()
for package in "${wanted[@]}"; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  if [[ "$state" != installed ]]; then missing+=("$package"); fi
done
if ((${#missing[@]} == 0)); then exit 0; fi

echo "deps: installing with apt-get: ${missing[*]}"
as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "deps: needs root or sudo; as root, run:" >&2
    echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
apt() { ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get "$@"; }
apt update -q
apt install -q -y --no-install-recommends "${missing[@]}"
