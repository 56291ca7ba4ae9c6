"""How good the answers are: the graph that serves users, over a folder of articles.

    make bench-answers DATA=DIR

DIR holds ``articles/`` (text files) and ``questions.jsonl``, a JSON object a line: ``question``,
``answers`` (texts), ``paragraph`` (verbatim in an article) and ``source`` (the article's file). The
490 articles of SQuAD 2.0 with the English questions of XQuAD are one such folder.

Every question is asked twice: with all articles indexed, and again after the articles that answer
questions were deleted and the folder synced, when ``not_found`` is the right answer. Figures are
reported for the half of the articles that the extractive reader was fitted on and for the other.
"""

import argparse
import asyncio
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.service import Service, open_service
from graph.context import RagContext
from graph.state import RagOutput
from settings import load_settings

CONCURRENCY = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """A question whose answer is known."""

    question: str
    answers: list[str]
    paragraph: str
    source: str

    @property
    def fitted(self) -> bool:
        """Whether its article belongs to the half that the weights were fitted on."""
        return fitted_on(self.source)


def fitted_on(source: str) -> bool:
    """Half of the articles, chosen by their names: stable, and no paragraph is in both halves."""
    return hashlib.blake2b(source.encode(), digest_size=1).digest()[0] % 2 == 0


def read_samples(path: Path) -> list[Sample]:
    """The questions of a folder."""
    rows = (json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip())
    return [
        Sample(row["question"], row["answers"], row["paragraph"], row["source"]) for row in rows
    ]


async def measure(data: Path, work: Path, limit: int | None) -> dict[str, Any]:
    """Index, ask everything, leave the answering articles out, ask everything again."""
    samples = read_samples(data / "questions.jsonl")[:limit]
    articles = copy_articles(data, work)
    settings = load_settings().model_copy(update={"data_dir": work / "data", "roots": [articles]})
    async with open_service(settings) as service:
        await service.indexing.run([articles], _show)
        passages = await service.backends.store.count()
        found = await ask_all(service, samples)
        for source in {sample.source for sample in samples}:
            (articles / source).unlink()
        await service.indexing.run([articles], _show)
        left_out = await ask_all(service, samples)
    return {
        "questions": len(samples),
        "passages": passages,
        "reader": found[0][1]["reader"],
        "all": figures(samples, found, left_out, range(len(samples))),
        "fitted": figures(samples, found, left_out, [i for i, s in enumerate(samples) if s.fitted]),
        "held_out": figures(
            samples, found, left_out, [i for i, s in enumerate(samples) if not s.fitted]
        ),
    }


def copy_articles(data: Path, work: Path) -> Path:
    """The articles where they may be deleted; one that is there already keeps its index."""
    articles = work / "articles"
    articles.mkdir(parents=True, exist_ok=True)
    for article in (data / "articles").iterdir():
        if not (articles / article.name).exists():
            shutil.copy2(article, articles)
    return articles


Asked = tuple[list[str], RagOutput]
"""The texts of the top five passages of the gold article, and the run's output."""


async def ask_all(service: Service, samples: Sequence[Sample]) -> list[Asked]:
    """Ask every question, a few at a time."""
    turn = asyncio.Semaphore(CONCURRENCY)
    done = 0

    async def ask(sample: Sample) -> Asked:
        nonlocal done
        async with turn:
            top = await service.backends.store.search(sample.question, k=5)
            context = RagContext.of(service.settings)
            output = await service.graph.ainvoke({"question": sample.question}, context=context)
        done += 1
        print(f"\rasked {done}/{len(samples)}", end="", file=sys.stderr)
        texts = [d.page_content for d in top if d.metadata["source"].endswith(f"/{sample.source}")]
        return texts, RagOutput(**output)  # type: ignore[typeddict-item]  # the graph's own type

    return await asyncio.gather(*(ask(sample) for sample in samples))


def figures(
    samples: Sequence[Sample],
    found: Sequence[Asked],
    left_out: Sequence[Asked],
    chosen: Sequence[int],
) -> dict[str, float | int]:
    """The shares, in percent, over the chosen questions."""

    def share(flags: Sequence[bool]) -> float:
        return round(100 * sum(flags) / max(len(flags), 1), 1)

    return {
        "questions": len(chosen),
        "gold_paragraph_in_top_5": share([has_gold(samples[i], found[i][0]) for i in chosen]),
        "answer_in_citations": share([is_cited(samples[i], found[i][1]) for i in chosen]),
        "not_found_though_answerable": share([is_not_found(found[i][1]) for i in chosen]),
        "not_found_when_left_out": share([is_not_found(left_out[i][1]) for i in chosen]),
        "sentences_per_answer": round(
            sum(len(found[i][1]["citations"]) for i in chosen)
            / max(sum(not is_not_found(found[i][1]) for i in chosen), 1),
            2,
        ),
    }


def has_gold(sample: Sample, passages: Sequence[str]) -> bool:
    """Whether a passage is the gold paragraph, holds it, or is a piece of it with the answer."""
    return any(
        sample.paragraph in text
        or (any(answer in text for answer in sample.answers) and _is_piece(text, sample.paragraph))
        for text in passages
    )


def _is_piece(passage: str, paragraph: str) -> bool:
    return any(line.strip() and line.strip() in paragraph for line in passage.splitlines())


def is_cited(sample: Sample, output: RagOutput) -> bool:
    """Whether an expected answer stands in a quoted sentence."""
    quotes = [_folded(citation["quote"]) for citation in output["citations"]]
    return any(_folded(answer) in quote for answer in sample.answers for quote in quotes)


def is_not_found(output: RagOutput) -> bool:
    """Whether the run said that the documents do not answer."""
    return output["status"] == "not_found"


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _show(progress: Any) -> None:
    print(f"\rindexed {progress.files_done} files", end="", file=sys.stderr)


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder described above")
    parser.add_argument("--limit", type=int, help="ask only the first so many questions")
    parser.add_argument("--work", type=Path, help="keep copy and index here for the next run")
    options = parser.parse_args()
    if not (options.data / "questions.jsonl").is_file() or not (options.data / "articles").is_dir():
        parser.error(f"{options.data} must hold articles/ and questions.jsonl")
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        result = asyncio.run(measure(options.data, work.absolute(), options.limit))
    print("\r", end="", file=sys.stderr)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
