#!/bin/sh
# Installs Open WebUI into an environment of its own, .venv-openwebui, unless it is there: about
# 1.5 GB. uv, not pip: it can leave out what Open WebUI needs only for embedding by itself, which is
# PyTorch with CUDA and gigabytes more.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
venv="$root/.venv-openwebui"
openwebui="0.12.4"
stamp="$venv/installed-$openwebui"

[ -e "$stamp" ] && exit 0

# No stamp: what is there was interrupted or is another version.
rm -rf "$venv"
uv=${UV:-uv}
# Open WebUI takes Python 3.11 and 3.12.
"$uv" venv --quiet --python "${PYTHON:-$root/.venv/bin/python}" "$venv"
cat >"$venv/left-out.txt" <<'END'
torch ; sys_platform == "never"
sentence-transformers ; sys_platform == "never"
END
echo "Installing Open WebUI $openwebui into $venv ..." >&2
VIRTUAL_ENV="$venv" "$uv" pip install --quiet --overrides "$venv/left-out.txt" "open-webui==$openwebui"
touch "$stamp"
