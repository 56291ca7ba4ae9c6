"""An Ollama server. Only ``LanguageModel`` imports this, once a server is used."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

import httpx
import ollama
from langchain_ollama import ChatOllama
from langgraph.constants import TAG_NOSTREAM

from backends.accounting import NO_USAGE, added, put_down, usage_of
from backends.chat.model_server import ModelServer
from backends.chat.replies import chosen, thought_of, without_thinking
from backends.chat.requests import MAX_CONCURRENT, all_of
from backends.chat.server import (
    ModelNotServed,
    Prompt,
    Refused,
    ServedModel,
    ServerBusy,
    ServerDown,
    ServerFailing,
    Unreachable,
    WrongProtocol,
    displayed,
    shortened,
)
from backends.chat.visible_chat import VisibleChat
from backends.reader import Piece, Thought
from errors import LanguageModelUnavailable
from settings import LanguageModelSettings

# Ollama cuts a prompt silently at its own default, far below what the model can take: ask for a
# window of our own. A larger one costs memory on the server for every request.
CONTEXT_TOKENS = 8192
# A choice such as "yes" in quotes, as Ollama's grammar has it.
_CHOICE_TOKENS = 8
_UNHEARD: Any = {"tags": [TAG_NOSTREAM]}


class _Chat(VisibleChat, ChatOllama):
    """Streams readable text only."""


class OllamaServer(ModelServer):
    """One Ollama server at ``base_url`` (``http://host:11434``; an ending ``/v1`` is ignored)."""

    def __init__(self, settings: LanguageModelSettings, base_url: str) -> None:
        self._settings = settings
        address = base_url.rstrip("/").removesuffix("/v1")
        super().__init__(displayed(address))
        connection: dict[str, Any] = {
            "timeout": httpx.Timeout(settings.timeout_s, connect=settings.connect_timeout_s)
        }
        if settings.api_key:
            key = settings.api_key.get_secret_value()
            connection["headers"] = {"Authorization": f"Bearer {key}"}
        self._chat = _Chat(model=settings.model or "", base_url=address, client_kwargs=connection)
        # ChatOllama opens this client and has no method to close it; one is enough.
        self._client: Any = self._chat._async_client
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._thinks: bool | None = None
        """Whether the model's thinking is asked for; others refuse the question."""

    async def choose(
        self, prompts: Sequence[Prompt], choices: Sequence[str]
    ) -> list[dict[str, float] | None]:
        """Ollama's grammar makes each reply one of the choices; it is certain, or unreadable."""
        return await all_of(self._choose(prompt, choices) for prompt in prompts)

    async def complete(self, prompt: Prompt, max_tokens: int) -> str:
        """The whole reply, without thinking."""
        return without_thinking(await self._invoke(prompt, max_tokens))

    async def stream(
        self,
        prompt: Prompt,
        max_tokens: int,
        *,
        silent_on: str = "",
        numbers: Mapping[int, int] | None = None,
    ) -> AsyncGenerator[Piece]:
        """The reply piece by piece, thoughts marked; closing it ends the server's work."""
        served = await self.served()
        chunks: Any = self._chat.astream(
            list(prompt),
            options=_options(served, max_tokens),
            reasoning=self._thinks,
            silent_on=silent_on,
            numbers=numbers,
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
        put_down(served, usage)

    async def count_tokens(self, texts: Sequence[str]) -> list[int] | None:
        """Ollama does not tell."""
        return None

    async def cache_usage(self) -> float | None:
        """Never told."""
        return None

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def _ask_for_model(self, known: ServedModel | None) -> ServedModel:
        """Among what is pulled; the same digest is the same model, whose window is known."""
        with self._translated():
            async with asyncio.timeout(2 * self._settings.connect_timeout_s):
                pulled = {m.model: m for m in (await self._client.list()).models if m.model}
        name = self._settings.model or next(iter(pulled), None)
        if name is None:
            raise LanguageModelUnavailable(
                f"Ollama at {self.url} has no model: run `ollama pull MODEL` there."
            )
        model = pulled.get(name) or pulled.get(f"{name}:latest")
        digest = model.digest if model else None
        if known is not None and (known.id, known.root) == (name, digest):
            return known
        with self._translated():
            shown = await self._client.show(name)
        self._thinks = True if "thinking" in (shown.capabilities or ()) else None
        window = _context_length(dict(shown.modelinfo or {})) or CONTEXT_TOKENS
        return ServedModel(name, min(window, CONTEXT_TOKENS), digest)

    def _begin_anew(self, served: ServedModel) -> None:
        self._chat.model, self._chat.opens_thinking = served.id, False

    async def _choose(self, prompt: Prompt, choices: Sequence[str]) -> dict[str, float] | None:
        async with self._slots:
            reply = await self._invoke(
                prompt, _CHOICE_TOKENS, format={"type": "string", "enum": list(choices)}
            )
        choice = chosen(reply, choices)
        return {other: float(other == choice) for other in choices} if choice else None

    async def _invoke(self, prompt: Prompt, max_tokens: int, **request: Any) -> str:
        """One whole reply: never turned into a stream, whoever listens."""
        served = await self.served()
        with self._translated():
            reply = await self._chat.ainvoke(
                list(prompt),
                _UNHEARD,
                stream=False,
                reasoning=False,
                options=_options(served, max_tokens),
                **request,
            )
        put_down(served, usage_of(reply.usage_metadata))
        return reply.text

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The library's errors as ours."""
        try:
            yield
        except ollama.ResponseError as exc:
            raise self._refusal(exc) from exc
        except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout) as exc:
            raise Unreachable(
                f"Ollama at {self.url} cannot be reached: check that it runs and that "
                "TANDEM_LLM__BASE_URLS is right."
            ) from exc
        except (TimeoutError, httpx.TimeoutException) as exc:
            raise ServerDown(
                f"Ollama at {self.url} did not answer in time: it may be loading the model. "
                "Try again, or raise TANDEM_LLM__TIMEOUT_S."
            ) from exc
        except httpx.HTTPError as exc:
            raise ServerFailing(
                f"Ollama at {self.url} stopped in the middle of its reply: {shortened(exc)}"
            ) from exc
        except (TypeError, KeyError, AttributeError, ValueError) as exc:
            # What the libraries raise on a reply that is not Ollama's.
            raise WrongProtocol(
                f"{self.url} does not answer like Ollama ({shortened(exc)}): check "
                "TANDEM_LLM__BASE_URLS and TANDEM_LLM__PROVIDER."
            ) from exc

    def _refusal(self, exc: ollama.ResponseError) -> LanguageModelUnavailable:
        """What a status code means here."""
        said = shortened(exc.error)
        if exc.status_code in (401, 403):
            return Refused(
                f"Ollama at {self.url} refuses the API key: set TANDEM_LLM__API_KEY.",
                exc.status_code,
            )
        if exc.status_code == 404:
            return ModelNotServed(
                f"Ollama at {self.url} does not have the model ({said}): run "
                f"`ollama pull {self._settings.model or 'MODEL'}` there.",
                exc.status_code,
            )
        if exc.status_code == 429 or exc.status_code >= 500:
            kind = ServerFailing if exc.status_code >= 500 else ServerBusy
            return kind(f"Ollama at {self.url} cannot take the request now ({said}). Try again.")
        return Refused(f"Ollama at {self.url} refused the request: {said}", exc.status_code)


def _options(served: ServedModel, max_tokens: int) -> dict[str, Any]:
    return {"temperature": 0.0, "num_ctx": served.max_tokens, "num_predict": max_tokens}


def _context_length(information: dict[str, Any]) -> int | None:
    """The longest context the model was made for, in tokens."""
    lengths = [value for key, value in information.items() if key.endswith(".context_length")]
    return int(lengths[0]) if lengths else None
