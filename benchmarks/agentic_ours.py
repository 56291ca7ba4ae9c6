"""Tandem's graph by its settings, the same calls written by hand, and plain RAG."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from langchain_core.documents import Document

from backends.chat.protocol import BATCH, CHAT, NO_THINKING
from backends.chat.server import Prompt
from backends.connections import connect
from backends.filters import SearchFilters
from backends.search import Mode
from benchmarks.agentic_asking import Ask, Asked, Plain
from graph.builder import build_graph
from graph.context import RagContext
from graph.events import run_events
from nodes.prompts import (
    CHOICES,
    NOT_FOUND,
    answer_prompt,
    grading_prompts,
    rewrite_prompt,
    shared_beginning,
)
from nodes.reading import MAX_REWRITE_TOKENS, read_rewriting
from settings import GradingSettings, LanguageModelSettings, PhoenixSettings, Settings

MAX_REWRITES = 2
_SECRET = b"benchmark"


class FoundStore:
    """Finds what our embedded store has found before."""

    def __init__(self, cases: Sequence[Plain]) -> None:
        self._found = {
            query: [_document(passage) for passage in passages]
            for case in cases
            for query, passages in case["found"].items()
        }

    async def search(
        self, query: str, *, k: int, filters: SearchFilters | None = None, mode: Mode = "hybrid"
    ) -> list[Document]:
        return self._found[query][:k]


def _document(passage: dict[str, Any]) -> Document:
    metadata = {name: passage[name] for name in passage if name not in ("id", "text")}
    return Document(passage["text"], id=passage["id"], metadata=metadata)


def speculates() -> bool:
    """Whether this version of Tandem can write the answer while it grades."""
    return "speculate" in GradingSettings.model_fields


@asynccontextmanager
async def tandem(
    url: str, cases: Sequence[Plain], answer_tokens: int, work: Path, *, verify: bool = False,
    **grading: Any,
) -> AsyncIterator[Ask]:  # fmt: skip
    """The product's graph as its entry points drive it; keywords are settings of the grading."""
    settings = Settings(
        data_dir=work,
        llm=LanguageModelSettings(base_urls=[f"{url}/v1"], max_answer_tokens=answer_tokens),
        phoenix=PhoenixSettings(endpoint=""),
        grading=GradingSettings(**grading),
        max_rewrites=MAX_REWRITES,
        verification="annotate" if verify else "off",
    )
    backends = connect(settings)
    try:
        store: Any = FoundStore(cases)
        graph = build_graph(replace(backends, store=store))
        context = RagContext.of(settings)

        async def ask(case: Plain) -> Asked:
            asked, begun = Asked(), time.perf_counter()
            async for event in run_events(graph, case["question"], context):
                if event["event"] == "token":
                    asked.add(event["data"]["text"], begun)
                elif event["event"] == "done":
                    asked.answer = event["data"]["answer"]
            return asked

        yield ask
    finally:
        await backends.aclose()


class ByHand:
    """Exactly Tandem's calls, over a bare HTTP client: as little as they can cost."""

    def __init__(self, http: httpx.AsyncClient, model: str, answer_tokens: int, kept: bool) -> None:
        self._http, self._answer_tokens, self._kept = http, answer_tokens, kept
        self._base = {"model": model, "temperature": 0.0}

    async def agentic(self, case: Plain) -> Asked:
        """Grade, rewrite, answer."""
        asked, begun = Asked(), time.perf_counter()
        tried = [case["question"]]
        grades: dict[str, float] = {}
        while True:
            found = case["found"][tried[-1]]
            new = [passage for passage in found if passage["id"] not in grades]
            shared = shared_beginning(case["question"], new, _SECRET)
            replies = await self._grade(grading_prompts(shared, len(new))) if new else []
            grades.update(zip((passage["id"] for passage in new), replies, strict=True))
            kept = [passage for passage in found if self._keeps(grades[passage["id"]])]
            if kept or len(tried) > MAX_REWRITES:
                break
            if new != found:
                shared = shared_beginning(case["question"], found[:4], _SECRET)
            reply = await self._complete(rewrite_prompt(shared, tried), MAX_REWRITE_TOKENS)
            query = next(iter(read_rewriting(reply).queries), "")
            if query in tried or not query:
                break
            tried.append(query)
        if kept:
            numbers = [number for number, passage in enumerate(new, 1) if passage in kept]
            if len(numbers) < len(kept) or 2 * len(kept) < len(new):
                prompt = answer_prompt(shared_beginning(case["question"], kept, _SECRET))
            else:
                prompt = answer_prompt(shared, numbers if len(numbers) < len(new) else ())
            await self._stream(prompt, asked, begun)
        return asked

    async def plain(self, case: Plain) -> Asked:
        """One call: what is found is answered from."""
        asked, begun = Asked(), time.perf_counter()
        shared = shared_beginning(case["question"], case["found"][case["question"]], _SECRET)
        await self._stream(answer_prompt(shared), asked, begun)
        return asked

    def _keeps(self, grade: float) -> bool:
        return self._kept or grade >= 0.5

    async def _grade(self, prompts: Sequence[Prompt]) -> list[float]:
        body = {
            "max_completion_tokens": 1,
            "messages": [_messages(prompt) for prompt in prompts],
            "structured_outputs": {"choice": list(CHOICES)},
            "logprobs": True,
            "top_logprobs": 10,
            **NO_THINKING,
        }
        choices = (await self._post(BATCH, body))["choices"]
        return [float(choice["message"]["content"].startswith("y")) for choice in choices]

    async def _complete(self, prompt: Prompt, limit: int) -> str:
        body = {"max_completion_tokens": limit, "messages": _messages(prompt), **NO_THINKING}
        return str((await self._post(CHAT, body))["choices"][0]["message"]["content"])

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        response = await self._http.post(path, json={**self._base, **body})
        return response.raise_for_status().json()

    async def _stream(self, prompt: Prompt, asked: Asked, begun: float) -> None:
        body = {
            **self._base,
            "max_completion_tokens": self._answer_tokens,
            "messages": _messages(prompt),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        async with self._http.stream("POST", CHAT, json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("data: {") and (parts := json.loads(line[6:])["choices"]):
                    asked.add(parts[0]["delta"].get("content") or "", begun)
        if asked.answer.strip() == NOT_FOUND:
            asked.answer = ""


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in prompt]


@asynccontextmanager
async def by_hand(url: str, model: str, answer_tokens: int, kept: bool) -> AsyncIterator[ByHand]:
    """With ``kept`` every document is kept, whatever its grade: for a model that knows nothing."""
    limits = httpx.Limits(keepalive_expiry=4.0)  # vLLM closes idle connections after five seconds
    async with httpx.AsyncClient(base_url=f"{url}/v1", timeout=120, limits=limits) as http:
        yield ByHand(http, model, answer_tokens, kept)
