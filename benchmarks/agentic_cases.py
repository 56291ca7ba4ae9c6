"""Questions of known outcome over a small corpus, and what our embedded store finds for them.

Each question has a fact that answers it, written into as many sections of the corpus as its
scenario wants to be relevant. The rest of every section is prose of this project's documentation.
All contestants get the same passages, found once, so that retrieval is no part of what is compared.
"""

import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from backends.embeddings import create_embeddings
from backends.reader import Passage
from backends.sparse import Bm25Sparse
from backends.vector_places import open_vector_store
from benchmarks.corpora import MAX_BYTES
from indexer.manifest import Manifest
from indexer.sync import sync
from nodes.retrieval import as_passage
from settings import Settings

TOP_K = 6
PROSE = Path(__file__).parents[1] / "docs"
_SECTION_CHARS = 500
_TREES = (
    "alder",
    "birch",
    "cedar",
    "dogwood",
    "elder",
    "fig",
    "gorse",
    "hazel",
    "ivy",
    "juniper",
    "kauri",
    "larch",
    "maple",
    "nutmeg",
    "olive",
    "pine",
    "quince",
    "rowan",
    "spruce",
    "teak",
    "viburnum",
    "willow",
    "yew",
    "acacia",
    "baobab",
    "cypress",
    "ebony",
    "ginkgo",
    "hemlock",
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """How the searches of a question come out."""

    name: str
    relevant: int
    """Sections that hold the fact."""
    vain: int = 0
    """Searches before the one that can find them."""


SCENARIOS = (
    Scenario("good", relevant=6),
    Scenario("mixed", relevant=3),
    Scenario("few", relevant=1),
    Scenario("rewrite", relevant=6, vain=1),
    Scenario("nothing", relevant=0, vain=2),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A question, with all that is known about it beforehand."""

    scenario: str
    question: str
    rewrites: list[str]
    """What to search for next, in order."""
    fact: str
    """The sentence that answers; it stands in every relevant passage and nowhere else."""
    found: dict[str, list[Passage]] = field(default_factory=dict)
    """What a search finds, by query."""

    def relevant(self, passages: Sequence[Passage]) -> list[Passage]:
        return [passage for passage in passages if self.fact in passage["text"]]

    def plain(self) -> dict[str, Any]:
        """For another process."""
        return asdict(self)


def sections() -> Iterator[str]:
    """Sentences of the documentation, a section's worth at a time, always mixed in another way."""
    pages = [page.read_text(encoding="utf-8") for page in sorted(PROSE.glob("*.md"))]
    blocks = [" ".join(block.split()) for page in pages for block in page.split("\n\n")]
    prose = " ".join(block for block in blocks if block[:1].isalpha())
    sentences = re.findall(r"[A-Z][^.!?`|]{40,200}[.!?](?= )", prose)
    mixed = random.Random(1)  # noqa: S311 - the same on every run
    while True:
        text = ""
        while len(text) < _SECTION_CHARS:
            text += f"{mixed.choice(sentences)} "
        yield text


def write_case(scenario: Scenario, number: int, prose: Iterator[str], folder: Path) -> Case:
    """A case, and the files that its outcome needs."""
    name, hidden = (
        _TREES[number % len(_TREES)].capitalize() + _TREES[(7 * number + shift) % len(_TREES)]
        for shift in (3, 5)
    )
    queries = [f"start-up pressure of the {name} station"]
    queries += [f"{name} station opening pressure, attempt {n + 2}" for n in range(scenario.vain)]
    if scenario.vain and scenario.relevant:
        queries[-1] = f"{hidden} compressor start-up pressure in bar"
    fact = f"The compressor of the {hidden} plant starts at {200 + number} bar."
    spare = 4 if scenario.relevant == TOP_K else 0  # sections of other stations may come close
    facts = [f"{fact} The {hidden} start-up pressure is checked daily."]
    facts *= scenario.relevant + spare
    topic = f"The {name} station has a start-up pressure; {name} logs attempts."
    texts = [(name, topic)] * (TOP_K + spare)
    if scenario.vain:
        texts += [(hidden, text) for text in facts]
    else:
        texts[: len(facts)] = [(name, f"{topic} {text}") for text in facts]
    for place, (title, opening) in enumerate(texts):
        text = f"# {title} {place}\n\n{opening} {next(prose)}\n"
        (folder / f"{scenario.name}-{number}-{place}.md").write_text(text, encoding="utf-8")
    question = f"What is the start-up pressure of the {name} station?"
    return Case(scenario.name, question, queries[1:], fact)


async def prepare(counts: dict[str, int], top_k: int = TOP_K) -> list[Case]:
    """Cases of each scenario, with what our embedded store finds for each of their queries."""
    cases: list[Case] = []
    prose, embeddings = sections(), create_embeddings(Settings().embeddings)
    with tempfile.TemporaryDirectory() as work:
        (folder := Path(work) / "corpus").mkdir()
        store = open_vector_store(Settings(data_dir=Path(work)), embeddings)
        manifest = Manifest(Path(work))
        try:
            for scenario in SCENARIOS:
                for _ in range(counts.get(scenario.name, 0)):
                    cases.append(write_case(scenario, len(cases), prose, folder))
            found = await sync(
                [folder],
                store=store,
                embeddings=embeddings,
                sparse=Bm25Sparse(),
                manifest=manifest,
                max_file_bytes=MAX_BYTES,
            )
            assert not found.failed, f"not all was indexed: {found.failed[:3]}"
            for case in cases:
                for query in (case.question, *case.rewrites):
                    documents = await store.search(query, k=top_k)
                    case.found[query] = [as_passage(document) for document in documents]
                _check(case)
        finally:
            await manifest.aclose()
            await store.aclose()
            await embeddings.aclose()
    return cases


def _check(case: Case) -> None:
    """That the searches come out as the scenario says."""
    scenario = next(each for each in SCENARIOS if each.name == case.scenario)
    queries = (case.question, *case.rewrites)
    counts = [len(case.relevant(case.found[query])) for query in queries]
    wanted = [0] * scenario.vain + [scenario.relevant]
    assert counts == wanted, f"{case.scenario}: {counts} relevant passages, not {wanted}"
