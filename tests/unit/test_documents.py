"""The README and docs/: what they show and point at is what there is."""

import re
from pathlib import Path
from typing import Any, cast

import pytest

import cli
from backends.connections import Backends
from backends.extractive.reader import ExtractiveReader
from graph.builder import build_graph
from settings import Settings
from tests.fakes import WordEmbeddings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def test_the_picture_in_the_readme_is_the_graph() -> None:
    backends = Backends(
        settings=Settings(_env_file=None),
        embeddings=WordEmbeddings(),
        sparse=cast(Any, None),
        store=cast(Any, None),
        extractive=ExtractiveReader(WordEmbeddings()),
        language_model=None,
    )
    drawn = build_graph(backends).get_graph().draw_mermaid()
    shown = re.findall(r"```mermaid\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown == [drawn.strip() + "\n"]


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 100


@each_document
def test_what_a_document_points_at_exists(document: Path) -> None:
    text = document.read_text()
    linked = [document.parent / link for link in re.findall(r"\]\((?!https?:)([^)#]+)", text)]
    named = [
        ROOT / name for name in re.findall(r"`((?:docs|backends|graph)/\w[\w/-]*\.\w+)`", text)
    ]
    missing = [str(path) for path in linked + named if not path.exists()]
    assert missing == []


@each_document
def test_every_setting_that_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"TANDEM_[A-Z_]*[A-Z]", document.read_text()))
    documented = set(re.findall(r"TANDEM_[A-Z_]*[A-Z]", (ROOT / ".env.example").read_text()))
    assert named <= documented


def test_every_setting_is_in_env_example() -> None:
    documented = set(
        re.findall(r"^#(TANDEM_\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    )
    assert documented == set(variables())


@each_document
def test_every_target_that_a_document_names_can_be_made(document: Path) -> None:
    named = set(re.findall(r"(?:`|    )make ([a-z][a-z-]*)", document.read_text()))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= targets


@each_document
def test_every_command_that_a_document_names_exists(document: Path) -> None:
    if document.name == "roadmap.md":
        pytest.skip("it names what is planned")
    named = set(
        re.findall(r"(?:`|\$ |    )tandem (?:--data-dir \S+ )?([a-z]+)", document.read_text())
    )
    assert [name for name in sorted(named) if not _is_command(name)] == []


def _is_command(name: str) -> bool:
    """Whether ``tandem NAME --help`` explains a command; argparse exits either way."""
    with pytest.raises(SystemExit) as exited:
        cli.main([name, "--help"])
    return exited.value.code == 0


def variables(model: Any = Settings, prefix: str = "TANDEM_") -> list[str]:
    """The environment variables of a settings model."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name.upper()}"
        nested = field.annotation
        if name == "tenants":
            names.append(f"{variable}__ACME")  # a variable for each tenant, so an example
        elif hasattr(nested, "model_fields"):
            names += variables(nested, f"{variable}__")
        else:
            names.append(variable)
    return names
