"""HTTP to one OpenAI-compatible server: JSON, streams of events, and its errors as ours.

Plain ``httpx``: a call through the ``openai`` library costs twice the processor time, one through
``ChatOpenAI`` three times, and an answer pays for every token.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from backends.chat.server import (
    ModelNotServed,
    Refused,
    ServerBusy,
    ServerDown,
    ServerFailing,
    Unreachable,
    WrongProtocol,
    displayed,
    shortened,
)
from errors import LanguageModelUnavailable, PromptTooLong
from settings import LanguageModelSettings

_MAX_CONNECTIONS = 512
# Below the five seconds after which vLLM closes an idle connection: nobody is to use one that is
# just being closed.
_KEEP_ALIVE_S = 4.0
_LENGTH = ("context length", "context size", "context window", "too long", "max_model_len")
_MAX_LINE = 4_000_000
"""Bytes of one event; a server that never ends a line must not fill the memory."""


class Connection:
    """Requests to one server at ``base_url``, which ends in ``/v1``. Opens nothing by itself."""

    def __init__(self, settings: LanguageModelSettings, base_url: str) -> None:
        self.url = displayed(base_url)
        self._base = base_url.rstrip("/")
        self._root = self._base.removesuffix("/v1")
        self._key = settings.api_key.get_secret_value() if settings.api_key else ""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        context = httpx.create_ssl_context()
        connect = settings.connect_timeout_s
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(settings.timeout_s, connect=connect),
            limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, keepalive_expiry=_KEEP_ALIVE_S),
            verify=context,
        )
        # A connection that is open already says nothing about a machine that has fallen asleep.
        self._probe = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(connect),
            limits=httpx.Limits(max_keepalive_connections=0),
            verify=context,
        )

    async def probe(self, path: str) -> Any:
        """GET below ``/v1`` over a new connection, with the connection's time limit for all."""
        with self._translated("TANDEM_LLM__CONNECT_TIMEOUT_S"):
            return self._content(await self._probe.get(f"{self._base}{path}"))

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST below ``/v1``; the answer is a JSON object with a list of ``choices``."""
        return await self._post(f"{self._base}{path}", body, "choices")

    async def post_beside(self, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """POST beside ``/v1``, where vLLM has what OpenAI has not; ``key`` holds a list."""
        return await self._post(f"{self._root}{path}", body, key)

    async def events(self, path: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """The server-sent events that answer a POST, until their end. Closing it ends the work."""
        url = f"{self._base}{path}"
        with self._translated():
            async with self._http.stream("POST", url, json=body) as response:
                if response.is_error:
                    await response.aread()
                    raise self._refusal(response)
                async for data in _data(response.aiter_bytes()):
                    if data == b"[DONE]":
                        return
                    event: dict[str, Any] = json.loads(data)
                    if "error" in event:
                        raise self._broken(event["error"])
                    yield event

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()
        await self._probe.aclose()

    async def _post(self, url: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        with self._translated():
            content = self._content(await self._http.post(url, json=body))
            if not isinstance(content, dict) or not isinstance(content.get(key), list):
                raise TypeError(f"its reply has no {key}")
            return content

    def _content(self, response: httpx.Response) -> Any:
        if response.is_error:
            raise self._refusal(response)
        return json.loads(response.content)

    @contextmanager
    def _translated(self, limit: str = "TANDEM_LLM__TIMEOUT_S") -> Iterator[None]:
        """The library's errors as ours. What the server says is passed on without the key."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            raise Unreachable(
                f"The language model at {self.url} cannot be reached: check that its server runs "
                "and that TANDEM_LLM__BASE_URLS is right."
            ) from exc
        except httpx.PoolTimeout as exc:
            raise ServerBusy(
                f"Too many requests wait for the language model at {self.url}. Try again."
            ) from exc
        except httpx.TimeoutException as exc:
            raise ServerDown(
                f"The language model at {self.url} did not answer in time: it may be overloaded "
                f"or asleep. Try again, or raise {limit}."
            ) from exc
        except httpx.HTTPError as exc:
            raise self._broken(exc) from exc
        except (TypeError, KeyError, IndexError, AttributeError, ValueError) as exc:
            # What reading a reply of another protocol comes to.
            raise WrongProtocol(
                f"{self.url} does not answer like an OpenAI-compatible server "
                f"({self._said(exc)}): check TANDEM_LLM__BASE_URLS; it usually ends in /v1."
            ) from exc

    def _broken(self, reason: object) -> ServerFailing:
        """A connection that broke, as it does when a server restarts."""
        return ServerFailing(
            f"The language model at {self.url} stopped in the middle of its reply: "
            f"{self._said(reason)}"
        )

    def _refusal(self, response: httpx.Response) -> LanguageModelUnavailable:
        """What a status code means here."""
        said, status = self._said(_message(response)), response.status_code
        if status in (401, 403):
            return Refused(
                f"{self.url} refuses the API key ({status}): set TANDEM_LLM__API_KEY.", status
            )
        if status == 404:
            return ModelNotServed(
                f"{self.url} does not serve what was asked for ({said}): check "
                "TANDEM_LLM__MODEL and TANDEM_LLM__BASE_URLS, which usually end in /v1.",
                status,
            )
        if status in (400, 413, 422) and _is_about_length(said):
            return PromptTooLong(
                f"The prompt is too long for the language model at {self.url}: {said}"
            )
        if status in (408, 429) or (status >= 500 and status != 501):
            kind = ServerFailing if status >= 500 else ServerBusy
            return kind(
                f"The language model at {self.url} cannot take the request now ({status}: "
                f"{said}). Try again; if it goes on, look at its server's log."
            )
        return Refused(
            f"The language model at {self.url} refused the request ({status}): {said}", status
        )

    def _said(self, what: object) -> str:
        return shortened(str(what).replace(self._key, "***") if self._key else what)


async def _data(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """What follows ``data:`` on each line.

    Lines end at a line feed and nowhere else: a text may hold other characters, unescaped, that
    Python counts as the end of a line.
    """
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _MAX_LINE:
            raise ValueError("an event without an end")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()


def _message(response: httpx.Response) -> str:
    """The server's own words in an error, wherever it puts them."""
    try:
        body = json.loads(response.content)
    except ValueError:
        return response.text
    if isinstance(body, dict):
        error = body.get("error", body.get("detail", body))
        return str(error.get("message", error) if isinstance(error, dict) else error)
    return str(body)


def _is_about_length(said: str) -> bool:
    """There is no code for it: vLLM and the others say it in words."""
    words = said.casefold()
    return any(term in words for term in _LENGTH)
