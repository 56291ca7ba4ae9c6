"""The client of the server machine: one language model behind one or several servers."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from backends.chat.server import ChatServer, Message, ModelNotServed, ServedModel, ServerBusy
from errors import LanguageModelUnavailable, PromptTooLong
from settings import LanguageModelSettings

T = TypeVar("T")

# A busy server is asked once more: by then a short queue has moved on, and a run that waited
# longer would do better with the extractive reader.
ROUNDS = 2
PAUSE_S = 0.3


def create_language_model(settings: LanguageModelSettings) -> "LanguageModel | None":
    """The language model of the settings; None where no server is configured. No I/O."""
    return LanguageModel(settings) if settings.base_urls else None


class LanguageModel:
    """Chooses, completes and answers on the first of its servers that can.

    Servers are tried in the order of the settings, and another one only before the first token.
    Every method raises ``LanguageModelUnavailable`` when none of them answers in time, and
    ``PromptTooLong`` when the prompt does not fit.
    """

    def __init__(self, settings: LanguageModelSettings) -> None:
        self._settings = settings
        self._servers: list[ChatServer] = []
        self._opening = asyncio.Lock()
        self._name = settings.model or "language model"

    @property
    def name(self) -> str:
        """The id of the model that answered last, as its server reports it."""
        return self._name

    async def served(self) -> ServedModel:
        """The model behind the first server that answers."""
        return await self._ask(lambda server: server.served())

    async def prompt_tokens(self) -> int | None:
        """The longest prompt that leaves room for an answer; None where no server says so."""
        served = await self.served()
        if served.max_tokens is None:
            return None
        return served.max_tokens - self._answer_tokens(served)

    async def choose(
        self, messages: Sequence[Message], choices: Sequence[str]
    ) -> dict[str, float] | None:
        """How probable each choice is as the reply, summing to 1; None if it is unreadable."""
        return await self._ask(lambda server: server.choose(messages, choices))

    async def complete(self, messages: Sequence[Message], max_tokens: int) -> str:
        """A short reply at once, without thinking; empty where the model says nothing."""
        return await self._ask(lambda server: server.complete(messages, max_tokens))

    async def stream(self, messages: Sequence[Message], silent_on: str = "") -> AsyncGenerator[str]:
        """The reply in pieces, without thinking; none if it begins with ``silent_on``.

        Inside a LangGraph node the same pieces reach the graph's "messages" stream.
        """

        async def begin(server: ChatServer) -> tuple[str | None, AsyncGenerator[str]]:
            tokens = self._answer_tokens(await server.served())
            pieces = server.stream(messages, tokens, silent_on)
            return await anext(pieces, None), pieces

        first, pieces = await self._ask(begin)
        async with aclosing(pieces):
            if first is not None:
                yield first
            async for piece in pieces:
                yield piece

    async def aclose(self) -> None:
        """Close every connection."""
        for server in self._servers:
            await server.aclose()

    def _answer_tokens(self, served: ServedModel) -> int:
        """An answer may take at most half of the model's context."""
        limit = self._settings.max_answer_tokens
        return limit if served.max_tokens is None else min(limit, served.max_tokens // 2)

    async def _ask(self, call: Callable[[ChatServer], Awaitable[T]]) -> T:
        """The first result; after one round the servers that were only busy are asked again."""
        servers = await self._open()
        failures: list[LanguageModelUnavailable] = []
        for attempt in range(ROUNDS):
            if attempt:
                await asyncio.sleep(PAUSE_S)
            busy = []
            for server in servers:
                try:
                    return await self._bounded(server, call)
                except PromptTooLong:
                    raise
                except LanguageModelUnavailable as exc:
                    failures.append(exc)
                    if isinstance(exc, ServerBusy):
                        busy.append(server)
            if not (servers := busy):
                break
        raise failures[-1]

    async def _bounded(self, server: ChatServer, call: Callable[[ChatServer], Awaitable[T]]) -> T:
        """One server's result in time, with its model's new name if that has changed."""
        limit = self._settings.connect_timeout_s + self._settings.timeout_s
        try:
            async with asyncio.timeout(limit):
                try:
                    result = await call(server)
                except ModelNotServed:
                    server.forget()
                    result = await call(server)
                self._name = (await server.served()).id
                return result
        except TimeoutError as exc:
            raise LanguageModelUnavailable(
                f"The language model did not answer within {limit:g} s: it may be overloaded. "
                "Try again, or raise TANDEM_LLM__TIMEOUT_S."
            ) from exc

    async def _open(self) -> list[ChatServer]:
        """The servers' clients. Their libraries take a second to import: not in this thread."""
        async with self._opening:
            if not self._servers:
                self._servers = await asyncio.to_thread(_connect, self._settings)
        return self._servers


def _connect(settings: LanguageModelSettings) -> list[ChatServer]:
    if settings.provider == "ollama":
        from backends.chat.ollama import OllamaServer

        return [OllamaServer(settings, url) for url in settings.base_urls]
    from backends.chat.openai import OpenAIServer

    return [OpenAIServer(settings, url) for url in settings.base_urls]
