"""The configurations in docs/mcp.md: they parse, and what they start exists."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import cli
from commands import mcp

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "mcp.md").read_text(), re.DOTALL)
KEYS = {"command", "args", "type", "url", "headers"}

each_block = pytest.mark.parametrize("block", BLOCKS)


def servers(block: str) -> list[dict[str, Any]]:
    (named,) = json.loads(block).values()
    return list(named.values())


def test_every_program_has_its_configuration() -> None:
    text = (ROOT / "docs" / "mcp.md").read_text()
    headings = re.findall(r"^### (.*)", text, re.MULTILINE)
    assert {"Claude Desktop", "Claude Code", "Cursor", "VS Code"} <= set(headings)
    assert len(BLOCKS) == len(headings)


@each_block
def test_the_key_that_holds_the_servers_is_one_that_programs_read(block: str) -> None:
    assert list(json.loads(block)) in (["mcpServers"], ["servers"])
    assert all(set(server) <= KEYS for server in servers(block))


@each_block
def test_what_a_configuration_starts_is_the_bridge(block: str) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for server in servers(block):
        if "command" in server:
            assert Path(server["command"]).name in scripts
            options = cli._parser().parse_args(server["args"])
            assert options.command is mcp.run
        else:
            assert server["url"].endswith("/mcp")
