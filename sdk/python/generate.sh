#!/usr/bin/env bash
# Regenerates src/tacit/v1 from proto/. Needs: pip install 'grpcio-tools==1.71.*'
set -euo pipefail
cd "$(dirname "$0")"
python3 -m grpc_tools.protoc -I ../../proto --python_out=src --pyi_out=src \
  ../../proto/tacit/v1/{plan,dealer,inference}.proto
touch src/tacit/v1/__init__.py
