"""A server that speaks OpenAI's chat protocol, vLLM first.

Only ``LanguageModel`` imports this, once a server is used: ``langchain_openai`` takes a second.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

import httpx2  # the HTTP client inside openai; it lets some of its errors through
import openai
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from langgraph.constants import TAG_NOSTREAM
from pydantic import SecretStr

from backends.chat.replies import choice_probabilities, chosen, visible_chunks, without_thinking
from backends.chat.server import (
    Message,
    ModelNotServed,
    ServedModel,
    ServerBusy,
    displayed,
    shortened,
)
from errors import LanguageModelUnavailable, PromptTooLong
from settings import LanguageModelSettings

# Grades and rewrites are not the answer: their tokens stay out of LangGraph's "messages" stream.
_UNHEARD: Any = {"tags": [TAG_NOSTREAM]}
_NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}


class _VisibleChat(ChatOpenAI):
    """Streams readable text only, and fails where the stream ends without a finish reason."""

    async def _astream(
        self, *args: Any, silent_on: str = "", **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        chunks: Any = super()._astream(*args, **kwargs)
        async with aclosing(visible_chunks(chunks, silent_on=silent_on)) as visible:
            async for chunk in visible:
                yield chunk


class OpenAIServer:
    """One OpenAI-compatible server at ``base_url`` (which ends in ``/v1``)."""

    def __init__(self, settings: LanguageModelSettings, base_url: str) -> None:
        self._settings = settings
        self._base_url = base_url
        self._url = displayed(base_url)
        # The library would take OPENAI_API_KEY from the environment: that key is not for here.
        self._key = settings.api_key.get_secret_value() if settings.api_key else "none"
        self._timeout = openai.Timeout(settings.timeout_s, connect=settings.connect_timeout_s)
        self._http = openai.DefaultAsyncHttpxClient(timeout=self._timeout)
        self._client = openai.AsyncOpenAI(
            base_url=base_url, api_key=self._key, http_client=self._http, max_retries=0
        )
        self._discovery = asyncio.Lock()
        self._found: tuple[ServedModel, ChatOpenAI] | None = None

    async def served(self) -> ServedModel:
        """The configured model, or the first that the server lists."""
        return (await self._discover())[0]

    def forget(self) -> None:
        """Ask for the model again next time."""
        self._found = None

    async def choose(
        self, messages: Sequence[Message], choices: Sequence[str]
    ) -> dict[str, float] | None:
        """One generated token; its probabilities, or else its text, tell the choice."""
        reply = await self._invoke(
            messages,
            max_tokens=1,
            logprobs=True,
            top_logprobs=20,
            extra_body={"structured_outputs": {"choice": list(choices)}, **_NO_THINKING},
        )
        probabilities = choice_probabilities(_first_token(reply), choices)
        if probabilities is None and (choice := chosen(reply.text, choices)):
            return {other: float(other == choice) for other in choices}
        return probabilities

    async def complete(self, messages: Sequence[Message], max_tokens: int) -> str:
        """The whole reply, without thinking."""
        reply = await self._invoke(messages, max_tokens=max_tokens, extra_body=_NO_THINKING)
        return without_thinking(reply.text)

    async def stream(
        self, messages: Sequence[Message], max_tokens: int, silent_on: str
    ) -> AsyncGenerator[str]:
        """The reply's visible text, piece by piece; closing it ends the server's work."""
        _, chat = await self._discover()
        chunks: Any = chat.astream(list(messages), max_tokens=max_tokens, silent_on=silent_on)
        with self._translated():
            async with aclosing(chunks):
                async for chunk in chunks:
                    if chunk.text:
                        yield chunk.text

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def _invoke(self, messages: Sequence[Message], **request: Any) -> AIMessage:
        """One whole reply: never turned into a stream, whoever listens."""
        _, chat = await self._discover()
        with self._translated():
            return await chat.ainvoke(list(messages), _UNHEARD, stream=False, **request)

    async def _discover(self) -> tuple[ServedModel, ChatOpenAI]:
        async with self._discovery:
            if self._found is None:
                with self._translated():
                    listed = {model.id: model for model in (await self._client.models.list()).data}
                served = self._select(listed)
                self._found = served, self._chat(served.id)
            return self._found

    def _chat(self, model: str) -> ChatOpenAI:
        return _VisibleChat(
            model=model,
            base_url=self._base_url,
            api_key=SecretStr(self._key),
            http_async_client=self._http,
            timeout=self._timeout,
            max_retries=0,  # LanguageModel retries, and knows the other servers
            temperature=0.0,
            stream_usage=True,
            stream_chunk_timeout=self._settings.timeout_s,
            use_responses_api=False,
        )

    def _select(self, listed: dict[str, Any]) -> ServedModel:
        name = self._settings.model or next(iter(listed), None)
        if name is None:
            raise LanguageModelUnavailable(
                f"{self._url} lists no model: start it with one, or set TANDEM_LLM__MODEL."
            )
        return ServedModel(name, getattr(listed.get(name), "max_model_len", None))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The library's errors as ours. What the server says is passed on without the key."""
        try:
            yield
        except openai.APIStatusError as exc:
            raise self._refusal(exc) from exc
        except (openai.APITimeoutError, TimeoutError, httpx2.TimeoutException) as exc:
            raise LanguageModelUnavailable(
                f"The language model at {self._url} did not answer in time: it may be overloaded "
                "or asleep. Try again, or raise TANDEM_LLM__TIMEOUT_S."
            ) from exc
        except (openai.APIError, httpx2.HTTPError) as exc:
            if isinstance(exc.__cause__, httpx2.ConnectError):
                raise LanguageModelUnavailable(
                    f"The language model at {self._url} cannot be reached: check that its server "
                    "runs and that TANDEM_LLM__BASE_URLS is right."
                ) from exc
            raise LanguageModelUnavailable(
                f"The language model at {self._url} stopped in the middle of its reply: "
                f"{self._said(exc)}"
            ) from exc
        except (TypeError, KeyError, IndexError, AttributeError, ValueError) as exc:
            # What langchain_openai raises on a reply that is not of this protocol.
            raise LanguageModelUnavailable(
                f"{self._url} does not answer like an OpenAI-compatible server "
                f"({self._said(exc)}): check TANDEM_LLM__BASE_URLS; it usually ends in /v1."
            ) from exc

    def _refusal(self, exc: openai.APIStatusError) -> LanguageModelUnavailable:
        """What a status code means here."""
        said, status = self._said(exc), exc.status_code
        if status in (401, 403):
            return LanguageModelUnavailable(
                f"{self._url} refuses the API key ({status}): set TANDEM_LLM__API_KEY."
            )
        if status == 404:
            return ModelNotServed(
                f"{self._url} does not serve what was asked for ({said}): check "
                "TANDEM_LLM__MODEL and TANDEM_LLM__BASE_URLS, which usually end in /v1."
            )
        if status in (400, 413, 422) and _is_about_length(said):
            return PromptTooLong(
                f"The prompt is too long for the language model at {self._url}: {said}"
            )
        if status == 429 or status >= 500:
            return ServerBusy(
                f"The language model at {self._url} cannot take the request now ({status}: "
                f"{said}). Try again; if it goes on, look at its server's log."
            )
        return LanguageModelUnavailable(
            f"The language model at {self._url} refused the request ({status}): {said}"
        )

    def _said(self, exc: Exception) -> str:
        return shortened(exc).replace(self._key, "***") if self._key != "none" else shortened(exc)


def _is_about_length(said: str) -> bool:
    """There is no code for it: vLLM and the others say it in words."""
    words = said.casefold()
    return any(term in words for term in ("context length", "too long", "maximum", "max_model_len"))


def _first_token(reply: AIMessage) -> list[tuple[str, float]]:
    """The likeliest first tokens and their logprobs; empty where the server gave none."""
    content = (reply.response_metadata.get("logprobs") or {}).get("content") or []
    if not content:
        return []
    first = content[0]
    candidates = [first, *(first.get("top_logprobs") or [])]
    return [(str(entry["token"]), float(entry["logprob"])) for entry in candidates]
