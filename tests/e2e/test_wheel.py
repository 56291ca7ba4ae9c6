"""The wheel holds every module: built here, imported from elsewhere."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_every_module_of_the_built_wheel_imports_from_elsewhere(tmp_path: Path) -> None:
    subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    [wheel] = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    modules = sorted(
        ".".join(path.relative_to(installed).with_suffix("").parts).removesuffix(".__init__")
        for path in installed.rglob("*.py")
    )
    assert {"cli", "server", "graph.builder", "indexer.sync", "backends.qdrant_edge.client"} <= set(
        modules
    )
    assert (installed / "web" / "index.html").is_file()
    code = f"import importlib\nfor name in {modules!r}: importlib.import_module(name)\nimport cli\n"
    result = subprocess.run(  # noqa: S603 - our own program
        # -P keeps the current folder off the path, the wheel's folder comes first.
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(installed)!r})\n{code}"
         "assert cli.__file__.startswith(sys.path[0]), cli.__file__"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
