"""HTTP to one OpenAI-compatible server: JSON, streams of events, and its errors as ours.

Plain ``httpx``: a call through the ``openai`` library costs twice the processor time, one through
``ChatOpenAI`` three times, and an answer pays for every token.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from backends.chat.failures import Failures
from backends.chat.server import ServerBusy, displayed
from errors import LanguageModelUnavailable
from settings import LanguageModelSettings

_MAX_CONNECTIONS = 512
# Below the five seconds after which vLLM closes an idle connection: nobody is to use one that is
# just being closed.
_KEEP_ALIVE_S = 4.0
_END_S = 0.1
"""From a stream's last event to the end of its body; both are written at once."""
_MAX_LINE = 4_000_000
"""Bytes of one event; a server that never ends a line must not fill the memory."""


class Connection:
    """Requests to one server at ``base_url``, which ends in ``/v1``. Opens nothing by itself."""

    def __init__(self, settings: LanguageModelSettings, base_url: str) -> None:
        self.url = displayed(base_url)
        self._base = base_url.rstrip("/")
        self._root = self._base.removesuffix("/v1")
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._failures = Failures(self.url, key)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        context = httpx.create_ssl_context()
        connect = settings.connect_timeout_s
        limits = httpx.Limits(max_connections=_MAX_CONNECTIONS, keepalive_expiry=_KEEP_ALIVE_S)
        timeout = httpx.Timeout(settings.timeout_s, connect=connect)
        self._http = httpx.AsyncClient(
            headers=headers, timeout=timeout, limits=limits, verify=context
        )
        # A pool is looked through for every request: the many short ones need not go past every
        # answer that is being written.
        self._streams = httpx.AsyncClient(
            headers=headers, timeout=timeout, limits=limits, verify=context
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

    async def text_beside(self, path: str) -> str:
        """GET beside ``/v1`` what is no JSON, over a new connection and as quickly as ``probe``."""
        with self._translated("TANDEM_LLM__CONNECT_TIMEOUT_S"):
            response = await self._probe.get(f"{self._root}{path}")
            if response.is_error:
                raise self._refusal(response)
            return response.text

    async def events(self, path: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """The server-sent events that answer a POST, until their end. Closing it ends the work."""
        url = f"{self._base}{path}"
        with self._translated():
            async with self._streams.stream("POST", url, json=body) as response:
                if response.is_error:
                    await response.aread()
                    raise self._refusal(response)
                chunks = response.aiter_bytes()
                async for data in _data(chunks):
                    if data == b"[DONE]":
                        await _finish(chunks)
                        return
                    event: dict[str, Any] = json.loads(data)
                    if "error" in event:
                        raise self._failures.broken(event["error"])
                    yield event

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()
        await self._streams.aclose()
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
        """The library's errors as ours."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            raise self._failures.unreachable() from exc
        except httpx.PoolTimeout as exc:
            raise ServerBusy(
                f"Too many requests wait for the language model at {self.url}. Try again."
            ) from exc
        except httpx.TimeoutException as exc:
            raise self._failures.late(limit) from exc
        except httpx.HTTPError as exc:
            raise self._failures.broken(exc) from exc
        except (TypeError, KeyError, IndexError, AttributeError, ValueError) as exc:
            # What reading a reply of another protocol comes to.
            raise self._failures.foreign(exc) from exc

    def _refusal(self, response: httpx.Response) -> LanguageModelUnavailable:
        return self._failures.refusal(response.status_code, response.content)


async def _finish(chunks: AsyncIterator[bytes]) -> None:
    """Read the end of a body that says nothing more: unread, it costs the connection.

    A server that does not end it in time loses its connection, as it would have.
    """
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(_END_S):
            async for _ in chunks:
                pass


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
