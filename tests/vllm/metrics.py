"""What a real vLLM says it did, and passages that it has never seen."""

import asyncio
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx

from backends.reader import Passage
from tests.fakes import passage

ROOT = Path(__file__).parents[2]


def passages(count: int, words: int = 150) -> list[Passage]:
    """Passages of this project's prose, as long as most chunks, seen for the first time."""
    prose = (ROOT / "docs" / "answering.md").read_text().split()
    new = uuid.uuid4().hex[:6]
    return [
        passage(
            f"{new} {' '.join((prose * 9)[number * words : (number + 1) * words])}",
            source=f"docs/{number}.md",
            also_in=[],
            title=f"Title {number}",
        )
        for number in range(count)
    ]


async def counter(url: str, name: str) -> float:
    """The sum of one of vLLM's metrics over its labels."""
    text = await _metrics(url)
    values = re.findall(rf"^vllm:{name}(?:{{[^}}]*}})? (\S+)$", text, flags=re.MULTILINE)
    assert values, f"vLLM has no metric {name}"
    return sum(float(value) for value in values)


async def eventually(condition: Callable[[float], bool], url: str, name: str) -> None:
    """Wait, at most ten seconds, until the metric fulfils the condition."""
    async with asyncio.timeout(10):
        while not condition(await counter(url, name)):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)


async def requests_for(url: str, path: str) -> float:
    """How many HTTP requests a path has had."""
    text = await _metrics(url)
    counts = re.findall(rf'^http_requests_total{{.*handler="{path}".*}} (\S+)$', text, re.MULTILINE)
    return sum(float(count) for count in counts)


async def computed(url: str) -> float:
    """Prompt tokens that were computed, and not found in the prefix cache."""
    prompts = await counter(url, "prompt_tokens_total")
    return prompts - await counter(url, "prefix_cache_hits_total")


async def _metrics(url: str) -> str:
    # Reading the certificates, of which none is needed, would hold up the event loop just when what
    # it does matters: it took seconds beside a busy server.
    async with httpx.AsyncClient(timeout=10, verify=False) as client:  # noqa: S501 - as said
        return (await client.get(f"{url}/metrics")).text
