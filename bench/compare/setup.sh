#!/usr/bin/env bash
# Makes the environment in which compare.py and startup.py run:
#
#   setup.sh [FOLDER]     FOLDER is ${XDG_CACHE_HOME:-~/.cache}/mica/bench-venv by default
#
# A Python virtual environment with today's versions of the peers, the program that measures the machine (floor.c) and
# the library that makes MKL answer for AMD (mkl_vendor.c). It takes about 6 GB, because PyTorch's package for Linux
# brings CUDA along. Nothing outside FOLDER is touched; delete it to be rid of everything. Run it again to renew the
# peers.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/mica/bench-venv}
compiler=${CC:-cc}

for tool in python3 "$compiler"; do
  command -v "$tool" >/dev/null || { echo "setup.sh: $tool is missing; install it first" >&2; exit 1; }
done
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "setup.sh: Python 3.11 or newer is needed" >&2
  exit 1
}

mkdir -p "$folder"
free_gb=$(($(df --output=avail -k "$folder" | tail -1) / 1024 / 1024))
if [ ! -e "$folder/bin/python" ] && [ "$free_gb" -lt 10 ]; then
  echo "setup.sh: $folder has $free_gb GB free; 10 are needed while installing" >&2
  exit 1
fi

[ -e "$folder/bin/python" ] || python3 -m venv "$folder" || {
  echo "setup.sh: no virtual environment could be made (on Debian and Ubuntu: apt install python3-venv)" >&2
  exit 1
}
"$folder/bin/pip" install --quiet --upgrade --no-cache-dir \
  torch transformers peft sentence-transformers onnx onnxscript onnxruntime openvino tiktoken sentencepiece \
  numpy safetensors tokenizers matplotlib

"$compiler" -O2 -pthread "$here/floor.c" -o "$folder/bin/mica-floor"
"$compiler" -O2 -shared -fPIC "$here/mkl_vendor.c" -o "$folder/lib/mica-mkl-vendor.so"

echo "$folder"
