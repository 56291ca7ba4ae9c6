"""HTTP to one OpenAI-compatible server: JSON, streams of events, and its errors as ours.

``aiohttp``, whose parser is compiled: a token that comes alone, as they do where several people
are answered, costs a third of what it does through ``httpx``, on which the ``openai`` library and
``ChatOpenAI`` put as much again.
"""

import asyncio
import json
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import orjson

from backends.chat.failures import Failures
from backends.chat.server import displayed
from settings import LanguageModelSettings

# Below the five seconds after which vLLM closes an idle connection: nobody is to use one that is
# just being closed.
_KEEP_ALIVE_S = 4.0
_END_S = 0.1
"""From a stream's last event to the end of its body; both are written at once."""
_DONE = b"[DONE]"
"""What OpenAI's protocol ends a stream with, as data."""
_MAX_LINE = 4_000_000
"""Bytes of one event; a server that never ends a line must not fill the memory."""

Event = dict[str, Any]


class Connection:
    """Requests to one server at ``base_url``, which ends in ``/v1``. Opens nothing by itself."""

    def __init__(self, settings: LanguageModelSettings, base_url: str) -> None:
        self.url = displayed(base_url)
        self._base = base_url.rstrip("/")
        self._root = self._base.removesuffix("/v1")
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._failures = Failures(self.url, key)
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "tandem"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._ssl = httpx.create_ssl_context()
        self._proxy = _proxy_for(self._base)
        self._connect_s, self._read_s = settings.connect_timeout_s, settings.timeout_s
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def probe(self, path: str) -> Any:
        """GET below ``/v1`` over a new connection, with the connection's time limit for all."""
        return json.loads(await self._get(f"{self._base}{path}"))

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST below ``/v1``; the answer is a JSON object with a list of ``choices``."""
        return await self._post(f"{self._base}{path}", body, "choices")

    async def post_beside(self, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """POST beside ``/v1``, where vLLM has what OpenAI has not; ``key`` holds a list."""
        return await self._post(f"{self._root}{path}", body, key)

    async def text_beside(self, path: str) -> str:
        """GET beside ``/v1`` what is no JSON, over a new connection and as quickly as ``probe``."""
        return (await self._get(f"{self._root}{path}")).decode(errors="replace")

    async def events(self, path: str, body: dict[str, Any]) -> AsyncGenerator[list[Event]]:
        """The server-sent events that answer a POST, those together that came together.

        Until their end; closing it ends the server's work. What came before a failure is given.
        """
        with self._translated():
            async with self._request("POST", f"{self._base}{path}", body) as response:
                await self._check(response)
                chunks = response.content.iter_any()
                async for came in _data(chunks):
                    events, failure = self._read(came)
                    if events:
                        yield events
                    if failure is not None:
                        raise failure
                    if came[-1] == _DONE:
                        await _finish(chunks)
                        return

    def _read(self, came: list[bytes]) -> tuple[list[Event], Exception | None]:
        """The events, and what is wrong after them."""
        events: list[Event] = []
        try:
            for data in came:
                if data == _DONE:
                    break
                event = _parsed(data)
                if "error" in event:
                    return events, self._failures.broken(event["error"])
                events.append(event)
        except (TypeError, ValueError) as exc:
            return events, exc
        return events, None

    async def aclose(self) -> None:
        """Close its connections."""
        for session in self._sessions.values():
            await session.close()

    async def _get(self, url: str) -> bytes:
        with self._translated("TANDEM_LLM__CONNECT_TIMEOUT_S"):
            async with self._request("GET", url) as response:
                await self._check(response)
                return await response.read()

    async def _post(self, url: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        with self._translated():
            async with self._request("POST", url, body) as response:
                await self._check(response)
                content = json.loads(await response.read())
            if not isinstance(content, dict) or not isinstance(content.get(key), list):
                raise TypeError(f"its reply has no {key}")
            return content

    @asynccontextmanager
    async def _request(
        self, method: str, url: str, body: dict[str, Any] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response, whose body is read in the block; what is not read to its end is left."""
        if body is None:
            response = await self._new_each().request(method, url, allow_redirects=False)
        else:
            response = await self._kept().request(
                method,
                url,
                data=json.dumps(body, ensure_ascii=False).encode(),
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            )
        try:
            yield response
        finally:
            response.release()  # closes the connection unless all has been read
            # The event loop closes the socket in its next round, and an answer that was left is
            # to have ended at the server even if what follows keeps the event loop busy.
            await asyncio.sleep(0)

    def _kept(self) -> aiohttp.ClientSession:
        """Connections that are used again; as many as there are calls, which others bound."""
        if "kept" not in self._sessions:
            connector = aiohttp.TCPConnector(
                limit=0, ssl=self._ssl, keepalive_timeout=_KEEP_ALIVE_S
            )
            self._sessions["kept"] = self._session(connector, self._read_s)
        return self._sessions["kept"]

    def _new_each(self) -> aiohttp.ClientSession:
        """A connection that is open already says nothing about a machine that fell asleep."""
        if "new" not in self._sessions:
            connector = aiohttp.TCPConnector(limit=0, ssl=self._ssl, force_close=True)
            self._sessions["new"] = self._session(connector, self._connect_s)
        return self._sessions["new"]

    def _session(self, connector: aiohttp.TCPConnector, read_s: float) -> aiohttp.ClientSession:
        """Opened at the first call, by the event loop that it belongs to."""
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._connect_s, sock_read=read_s
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._proxy,  # trust_env would also read ~/.netrc, from the disk, for each call
        )

    @contextmanager
    def _translated(self, limit: str = "TANDEM_LLM__TIMEOUT_S") -> Iterator[None]:
        """The library's errors as ours."""
        try:
            yield
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
            raise self._failures.unreachable() from exc
        except TimeoutError as exc:
            raise self._failures.late(limit) from exc
        except aiohttp.ClientError as exc:
            raise self._failures.broken(exc) from exc
        except (TypeError, KeyError, IndexError, AttributeError, ValueError) as exc:
            # What reading a reply of another protocol comes to.
            raise self._failures.foreign(exc) from exc

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise self._failures.refusal(response.status, await response.read())


def _proxy_for(url: str) -> str | None:
    """What the environment names for the server, as it does for other programs; no I/O."""
    address = urlsplit(url)
    if urllib.request.proxy_bypass(address.netloc.rpartition("@")[2]):
        return None
    return urllib.request.getproxies().get(address.scheme)


def _parsed(data: bytes) -> Event:
    """An object: ``orjson`` is faster, ``json`` also takes what servers write for no number."""
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:
        event = json.loads(data)
    if not isinstance(event, dict):
        raise TypeError("an event that is no object")
    return event


async def _finish(chunks: AsyncIterator[bytes]) -> None:
    """Read the end of a body that says nothing more: unread, it costs the connection.

    A server that does not end it in time loses its connection, as it would have.
    """
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_END_S):
            async for _ in chunks:
                pass


async def _data(chunks: AsyncIterator[bytes]) -> AsyncGenerator[list[bytes]]:
    """What follows ``data:`` on each line, up to the end; the lines of a chunk together.

    Lines end at a line feed and nowhere else: a text may hold other characters, unescaped, that
    Python counts as the end of a line.
    """
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _MAX_LINE:
            raise ValueError("an event without an end")
        came = [line[5:].strip() for line in lines if line.startswith(b"data:")]
        if _DONE in came:
            del came[came.index(_DONE) + 1 :]
        if came:
            yield came
