"""The client of the server machine: one language model behind one or several servers."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TypeVar

from backends.calls import broke_off
from backends.calls import call as watched
from backends.chat.members import Member, spread
from backends.chat.server import (
    ChatServer,
    ModelNotServed,
    Prompt,
    ServedModel,
    ServerBusy,
    ServerDown,
    ServerFailing,
)
from backends.chat.watching import watching
from backends.reader import Piece
from errors import LanguageModelUnavailable, PromptTooLong
from settings import LanguageModelSettings

T = TypeVar("T")
Call = Callable[[ChatServer], Awaitable[T]]

# A busy server is asked once more: by then a short queue has moved on, and a run that waited
# longer would do better with the extractive reader.
ROUNDS = 2
PAUSE_S = 0.3
# Of a prompt's beginning, in characters: enough to tell questions' documents apart.
_KEY_CHARS = 1000


def create_language_model(settings: LanguageModelSettings) -> "LanguageModel | None":
    """The language model of the settings; None where no server is configured. No I/O."""
    return LanguageModel(settings) if settings.base_urls else None


class LanguageModel:
    """Chooses, completes and answers on the first of its servers that can.

    Another server is tried only before the first token. One that keeps failing is left alone for
    a while; with all of them left alone, a call fails at once. Every method raises
    ``LanguageModelUnavailable`` when none of them answers in time, and ``PromptTooLong`` when the
    prompt does not fit.
    """

    def __init__(self, settings: LanguageModelSettings) -> None:
        self._settings = settings
        self._members: list[Member] = []
        self._opening = asyncio.Lock()
        self._answered_by: ServedModel | None = None

    @property
    def name(self) -> str:
        """The id of the model that answered last, as its server reports it."""
        if self._answered_by is not None:
            return self._answered_by.id
        return self._settings.model or "language model"

    @property
    def model(self) -> ServedModel | None:
        """The model that answered last, with all that its server tells; None before that."""
        return self._answered_by

    async def served(self) -> ServedModel:
        """The model behind the first server that answers."""
        return (await self._ask(lambda server: server.served()))[0]

    async def prompt_tokens(self) -> int | None:
        """The longest prompt that leaves room for an answer; None where no server says so."""
        served = await self.served()
        if served.max_tokens is None:
            return None
        return served.max_tokens - self._answer_tokens(served)

    async def count_tokens(self, texts: Sequence[str]) -> list[int] | None:
        """Each text's length in the model's own tokens; None where its server does not tell."""
        return (await self._ask(lambda server: server.count_tokens(texts)))[0]

    async def cache_usage(self) -> float | None:
        """The part of the key-value cache in use, from 0 to 1; None where no server tells."""
        return (await self._ask(lambda server: server.cache_usage()))[0]

    async def choose(
        self, prompts: Sequence[Prompt], choices: Sequence[str]
    ) -> list[dict[str, float] | None]:
        """How probable each choice is as the reply to each prompt, summing to 1.

        None where the reply is unreadable. One request for all prompts where the server can.
        """
        if not prompts:
            return []
        return (await self._ask(lambda server: server.choose(prompts, choices), prompts[0]))[0]

    async def complete(self, prompt: Prompt, max_tokens: int) -> str:
        """A short reply at once, without thinking; empty where the model says nothing."""
        return (await self._ask(lambda server: server.complete(prompt, max_tokens), prompt))[0]

    async def stream(
        self, prompt: Prompt, *, silent_on: str = "", numbers: Mapping[int, int] | None = None
    ) -> AsyncGenerator[Piece]:
        """The reply in pieces, thoughts marked; none but these if it begins with ``silent_on``.

        ``numbers`` gives what the numbers in markers such as ``[3]`` are to become. Inside a
        LangGraph node the same pieces, less the thoughts, reach the graph's "messages" stream.
        """

        async def begin(server: ChatServer) -> tuple[Piece | None, AsyncGenerator[Piece]]:
            tokens = self._answer_tokens(await server.served())
            pieces = server.stream(prompt, tokens, silent_on=silent_on, numbers=numbers)
            return await anext(pieces, None), pieces

        (piece, pieces), member = await self._ask(begin, prompt)
        async with (
            aclosing(pieces),
            watching(member.check, self._settings.timeout_s) as watch,
        ):
            while piece is not None:
                yield piece
                try:
                    piece = await watch.wait(anext(pieces, None))
                except LanguageModelUnavailable as exc:
                    broke_off("language_model", exc)
                    _note(member, exc)
                    raise

    async def aclose(self) -> None:
        """Close every connection."""
        for member in self._members:
            await member.aclose()

    def _answer_tokens(self, served: ServedModel) -> int:
        """An answer may take at most half of the model's context."""
        limit = self._settings.max_answer_tokens
        return limit if served.max_tokens is None else min(limit, served.max_tokens // 2)

    async def _ask(self, call: Call[T], prompt: Prompt = ()) -> tuple[T, Member]:
        """The first result and who gave it."""
        with watched("language_model"):
            return await self._ask_in_turn(call, prompt)

    async def _ask_in_turn(self, call: Call[T], prompt: Prompt) -> tuple[T, Member]:
        """As ``_ask``; those that were only busy are asked once more."""
        members = await self._in_order(prompt)
        begun = time.monotonic()
        failures: list[LanguageModelUnavailable] = []
        for attempt in range(ROUNDS):
            if attempt:
                await asyncio.sleep(PAUSE_S)
            busy = []
            for position, member in enumerate(members):
                if not member.breaker.admits():
                    continue
                try:
                    result = await self._ask_one(member, members[position + 1 :], call, begun)
                except PromptTooLong:
                    member.doubt()  # the model behind it may have another context now
                    raise
                except LanguageModelUnavailable as exc:
                    _note(member, exc)
                    failures.append(exc)
                    if isinstance(exc, ServerBusy):
                        busy.append(member)
                else:
                    return result, member
            if not (members := busy):
                break
        raise failures[-1] if failures else self._all_open()

    async def _ask_one(
        self, member: Member, others: Sequence[Member], call: Call[T], begun: float
    ) -> T:
        """One server's result in time, also when its model has been exchanged."""

        async def is_there(since: float = float("inf")) -> None:
            # All at once: however many are gone, finding out takes as long as for one.
            for other in others:
                if not (other.is_fresh or other.breaker.is_open):
                    other.begin_check(since)
            await member.check(since)

        if not member.is_fresh:
            await is_there(begun)
        limit = self._settings.connect_timeout_s + self._settings.timeout_s
        async with watching(is_there, limit) as watch:
            try:
                result = await watch.wait(call(member.server))
            except ModelNotServed:
                member.server.forget()
                result = await watch.wait(call(member.server))
        self._answered_by = await member.server.served()
        member.succeeded()
        return result

    def _all_open(self) -> LanguageModelUnavailable:
        """What to say when no server may be asked now."""
        wait = min(member.breaker.retry_in_s for member in self._members)
        last = next((m.failure for m in self._members if m.failure is not None), None)
        return LanguageModelUnavailable(
            f"{last or 'No server of the language model answers.'} It failed several times and "
            f"is asked again in {wait:.0f} s."
        )

    async def _in_order(self, prompt: Prompt) -> list[Member]:
        members = await self._open()
        if self._settings.balance == "order" or not prompt:
            return members
        return spread(members, prompt[-1][1][:_KEY_CHARS])

    async def _open(self) -> list[Member]:
        """The servers' clients. Making them reads certificates and imports: not in this thread."""
        async with self._opening:
            if not self._members:
                servers = await asyncio.to_thread(_connect, self._settings)
                self._members = [Member(server) for server in servers]
        return self._members


def _note(member: Member, failure: LanguageModelUnavailable) -> None:
    """What a failure says about the server's health; a failed check has been counted already."""
    if isinstance(failure, ServerDown | ServerFailing) and failure is not member.failure:
        member.failed(failure)


def _connect(settings: LanguageModelSettings) -> list[ChatServer]:
    if settings.provider == "ollama":
        from backends.chat.ollama import OllamaServer

        return [OllamaServer(settings, url) for url in settings.base_urls]
    if settings.provider == "openai":
        from backends.chat.stock_openai import StockOpenAIServer

        return [StockOpenAIServer(settings, url) for url in settings.base_urls]
    from backends.chat.openai import OpenAIServer

    return [OpenAIServer(settings, url) for url in settings.base_urls]
