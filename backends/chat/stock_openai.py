"""An OpenAI-compatible server or cloud through LangChain's own client, ``ChatOpenAI``.

For servers whose peculiarities that client knows and ours does not. It costs more processor time,
and a request for each choice. Only ``LanguageModel`` imports this: it takes a second.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

import httpx2  # the HTTP client inside openai, which lets some of its errors through
import openai
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from langgraph.constants import TAG_NOSTREAM
from pydantic import SecretStr

from backends.accounting import NO_USAGE, added, put_down, usage_of
from backends.chat.failures import Failures
from backends.chat.model_server import ModelServer
from backends.chat.protocol import CHOICE_TOKENS, NO_THINKING, forms, read_choices, served_model
from backends.chat.replies import thought_of, without_thinking
from backends.chat.requests import MAX_CONCURRENT, Form, all_of
from backends.chat.server import Prompt, Refused, ServedModel, displayed
from backends.chat.visible_chat import VisibleChat
from backends.reader import Piece, Thought
from errors import LanguageModelUnavailable
from settings import LanguageModelSettings

THINKING_TOKENS = 2048
"""What a reasoning model may think before each reply: its limit counts both."""
_UNHEARD: Any = {"tags": [TAG_NOSTREAM]}


class _Chat(VisibleChat, ChatOpenAI):
    """Streams readable text only."""


class StockOpenAIServer(ModelServer):
    """One OpenAI-compatible server at ``base_url`` (which usually ends in ``/v1``)."""

    def __init__(self, settings: LanguageModelSettings, base_url: str) -> None:
        self._settings = settings
        super().__init__(displayed(base_url))
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._failures = Failures(self.url, key)
        timeout = openai.Timeout(settings.timeout_s, connect=settings.connect_timeout_s)
        self._chat = _Chat(
            model=settings.model or "",
            base_url=base_url,
            # Without one the library takes OPENAI_API_KEY, and that key is not for here.
            api_key=SecretStr(key or "none"),
            http_async_client=openai.DefaultAsyncHttpxClient(timeout=timeout),
            openai_proxy=None,  # OPENAI_PROXY excludes a client of our own; HTTPS_PROXY works
            timeout=timeout,
            max_retries=0,  # LanguageModel retries, and knows the other servers
            stream_chunk_timeout=settings.timeout_s,
            use_responses_api=False,
        )
        self._client: openai.AsyncOpenAI = self._chat.root_async_client
        # A connection that is open already says nothing about a machine that has fallen asleep.
        self._probe = self._client.with_options(
            timeout=settings.connect_timeout_s,
            http_client=openai.DefaultAsyncHttpxClient(
                limits=httpx2.Limits(max_keepalive_connections=0)
            ),
        )
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._form = Form()

    async def choose(
        self, prompts: Sequence[Prompt], choices: Sequence[str]
    ) -> list[dict[str, float] | None]:
        """A request a prompt; the first token, or else the text, tells how probable each is."""
        await self.served()
        first, *rest = prompts
        # The first one finds out what the server takes.
        found = [await self._choose(first, choices)] if self._form.number is None else []
        return found + await all_of(self._choose(p, choices) for p in (rest if found else prompts))

    async def complete(self, prompt: Prompt, max_tokens: int) -> str:
        """The whole reply, without thinking."""
        await self.served()
        reply = await self._invoke(prompt, _bodies(max_tokens, [NO_THINKING, {}, {}]))
        return without_thinking(reply.text)

    async def stream(
        self,
        prompt: Prompt,
        max_tokens: int,
        *,
        silent_on: str = "",
        numbers: Mapping[int, int] | None = None,
    ) -> AsyncGenerator[Piece]:
        """The reply piece by piece, thoughts marked; closing it ends the server's work."""
        await self.served()

        async def begin(body: Mapping[str, Any]) -> tuple[Piece | None, AsyncGenerator[Piece]]:
            pieces = self._pieces(prompt, body, silent_on=silent_on, numbers=numbers)
            return await anext(pieces, None), pieces

        piece, pieces = await self._form.ask(begin, _bodies(max_tokens, [{}, {}, {}]))
        async with aclosing(pieces):
            while piece is not None:
                yield piece
                piece = await anext(pieces, None)

    async def count_tokens(self, texts: Sequence[str]) -> list[int] | None:
        """OpenAI's protocol has no way to tell."""
        return None

    async def cache_usage(self) -> float | None:
        """Never told."""
        return None

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.close()
        await self._probe.close()

    async def _ask_for_model(self, known: ServedModel | None) -> ServedModel:
        return served_model(await self._listed(), self._settings.model, self.url)

    def _begin_anew(self, served: ServedModel) -> None:
        self._form = Form()
        self._chat.model_name, self._chat.opens_thinking = served.id, False

    async def _listed(self) -> object:
        """The list of models; a gateway may have none, which matters only where none is named."""
        try:
            with self._translated("TANDEM_LLM__CONNECT_TIMEOUT_S"):
                return await self._probe.get("/models", cast_to=object)
        except Refused as exc:
            if self._settings.model is None or exc.status == 401:
                raise
            return {"data": []}

    async def _choose(self, prompt: Prompt, choices: Sequence[str]) -> dict[str, float] | None:
        richest = [{"max_completion_tokens": 1, **form} for form in forms(choices)]
        async with self._slots:
            reply = await self._invoke(prompt, _bodies(CHOICE_TOKENS, richest))
        part = {
            "logprobs": reply.response_metadata.get("logprobs"),
            "message": {"content": reply.text},
        }
        return read_choices({"choices": [part]}, 1, choices)[0]

    async def _invoke(self, prompt: Prompt, bodies: Sequence[Mapping[str, Any]]) -> AIMessage:
        """One whole reply: never turned into a stream, whoever listens."""

        async def call(body: Mapping[str, Any]) -> AIMessage:
            with self._translated():
                return await self._chat.ainvoke(
                    list(prompt), _UNHEARD, stream=False, extra_body=dict(body)
                )

        reply = await self._form.ask(call, bodies)
        put_down(await self.served(), usage_of(reply.usage_metadata))
        return reply

    async def _pieces(
        self, prompt: Prompt, body: Mapping[str, Any], **reading: Any
    ) -> AsyncGenerator[Piece]:
        chunks: Any = self._chat.astream(
            list(prompt),
            extra_body=dict(body),
            stream_usage="max_tokens" not in body,
            **reading,
        )
        usage = NO_USAGE
        with self._translated():
            async with aclosing(chunks):
                async for chunk in chunks:
                    usage = added(usage, usage_of(chunk.usage_metadata))
                    if thought := thought_of(chunk):
                        yield Thought(thought)
                    if chunk.text:
                        yield chunk.text
        put_down(await self.served(), usage)

    @contextmanager
    def _translated(self, limit: str = "TANDEM_LLM__TIMEOUT_S") -> Iterator[None]:
        """The libraries' errors as ours."""
        try:
            yield
        except openai.APIStatusError as exc:
            raise self._failures.refusal(exc.status_code, exc.response.content) from exc
        except (openai.APIError, httpx2.HTTPError, TimeoutError) as exc:
            raise self._failure(exc, limit) from exc
        except (TypeError, KeyError, IndexError, AttributeError, ValueError) as exc:
            # What the libraries raise on a reply of another protocol.
            raise self._failures.foreign(exc) from exc

    def _failure(self, exc: Exception, limit: str) -> LanguageModelUnavailable:
        """What a failed connection means; the libraries wrap each other's errors."""
        causes: list[BaseException] = [exc]
        while causes[-1].__cause__ is not None:
            causes.append(causes[-1].__cause__)
        if any(isinstance(each, httpx2.ConnectError | httpx2.ConnectTimeout) for each in causes):
            return self._failures.unreachable()
        if any(isinstance(each, httpx2.TimeoutException | TimeoutError) for each in causes):
            return self._failures.late(limit)
        return self._failures.broken(exc)


def _bodies(max_tokens: int, richest: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Requests from the richest down, three and two more.

    Reasoning models take no temperature and need room to think. Older servers know the limit by
    its old name alone.
    """
    plain = {"max_completion_tokens": max_tokens, "temperature": 0.0}
    return [
        *({**plain, **extra} for extra in richest),
        {"max_completion_tokens": max_tokens + THINKING_TOKENS, "reasoning_effort": "low"},
        {"max_tokens": max_tokens, "temperature": 0.0},
    ]
