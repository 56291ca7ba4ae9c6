"""Imports run one way, so that the layout shows the architecture."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BASE = {"errors", "settings"}
STATE = {
    "graph.state", "graph.context", "graph.question", "graph.citation", "graph.freshness",
    "graph.step", "graph.verdict",
}  # fmt: skip
MAY_IMPORT = {
    "errors": set[str](),
    "settings": {"errors"},
    "backends": BASE | {"backends"},
    "indexer": BASE | {"backends", "indexer", "graph.freshness"},
    "graph.question": {"errors"},
    "graph.citation": set[str](),
    "graph.freshness": set[str](),
    "graph.verdict": set[str](),
    "graph.step": {"graph.verdict"},
    "graph.state": BASE | {"backends", "graph.citation", "graph.freshness", "graph.verdict"},
    "graph.context": BASE | {"backends.filters", "graph.verdict"},
    "graph.deadline": {"graph.context", "graph.state"},
    "graph.routing": BASE | STATE | {"graph.deadline"},
    "nodes": BASE | STATE | {"graph.deadline", "backends", "nodes"},
    "graph": BASE | {"backends", "nodes", "graph"},
    "graph.studio": BASE | {"backends", "graph", "indexer"},  # an entry point
    "api": BASE | {"backends", "nodes", "graph", "indexer", "api"},
    "mcp_bridge": BASE | {"backends", "graph", "api", "mcp_bridge"},
    "server": BASE | {"backends", "api", "mcp_bridge"},
    "commands": BASE | {"backends", "graph", "indexer", "api", "mcp_bridge", "server", "commands"},
    "cli": BASE | {"commands", "api.http.logs"},
}
ENTRY_POINTS = {"cli", "server", "graph.studio"}
OURS = {name.split(".")[0] for name in MAY_IMPORT} | {"tests", "benchmarks"}


def modules(name: str) -> list[Path]:
    """The files of a module, a package, or a package less the modules with rules of their own."""
    path = ROOT / name.replace(".", "/")
    if not path.is_dir():
        return [path.with_suffix(".py")]
    special = {ROOT / f"{other.replace('.', '/')}.py" for other in MAY_IMPORT if "." in other}
    return [file for file in sorted(path.rglob("*.py")) if file not in special]


def imports(file: Path) -> Iterator[str]:
    """What a file imports of this project, wherever in the file."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if name.split(".")[0] in OURS)


def is_below(name: str, allowed: set[str]) -> bool:
    """Whether a dotted name is one of the allowed ones or inside one."""
    return any(name == other or name.startswith(f"{other}.") for other in allowed)


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_imports_run_one_way(name: str) -> None:
    allowed = MAY_IMPORT[name]
    parents = {other.rpartition(".")[0] for other in allowed if "." in other}
    wrong = {
        f"{file.relative_to(ROOT)}: {imported}"
        for file in modules(name)
        for imported in imports(file)
        if not is_below(imported, allowed) and imported not in parents
    }
    assert wrong == set()


def test_only_the_settings_read_the_environment() -> None:
    readers = {
        str(file.relative_to(ROOT))
        for name in MAY_IMPORT
        for file in modules(name)
        if "os.environ" in file.read_text() or "getenv" in file.read_text()
    }
    # A child process inherits its parent's environment, with Phoenix's own settings added.
    assert readers <= {"settings.py", "backends/phoenix/process.py", "backends/phoenix/child.py"}


def test_only_entry_points_load_the_settings() -> None:
    loaders = {
        str(file.relative_to(ROOT).with_suffix("")).replace("/", ".")
        for name in MAY_IMPORT
        for file in modules(name)
        if "load_settings(" in file.read_text() and file.name != "settings.py"
    }
    assert loaders <= ENTRY_POINTS
