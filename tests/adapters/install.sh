#!/bin/sh
# Installs langchain-mcp-adapters into an environment of its own, .venv-adapters, unless it is there:
# it speaks through the first version of the MCP SDK, and Tandem through the second.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
venv="$root/.venv-adapters"
adapters="0.3.2"
stamp="$venv/installed-$adapters"

[ -e "$stamp" ] && exit 0

# No stamp: what is there was interrupted or is another version.
rm -rf "$venv"
"${PYTHON:-$root/.venv/bin/python}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --quiet --no-input --disable-pip-version-check \
    "langchain-mcp-adapters==$adapters" "mcp<2" "langgraph>=1.2"
touch "$stamp"
