"""Clients that read streams, in a process of their own, as cheaply as they can.

    python -m benchmarks.streaming_clients '{"url": ..., "body": {...}, "clients": 16, "runs": 1}'

Prints one JSON object: how long it took, what failed, and, with ``"stamps": true``, how late the
tokens came, from the model's writing to the reading here. With ``"spread_s"`` the clients begin
within so many seconds.
"""

import asyncio
import json
import random
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from benchmarks.streaming_model import STAMP, now_us

_SILENCE_S = 60.0
_ANSWER = (b"event: token", b'"object": "chat.completion.chunk"')
"""What the frames of an answer hold; others repeat its text."""


class Reading:
    """What one process of clients comes to."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._url = urlsplit(request["url"])
        self._body = json.dumps(request["body"]).encode()
        self._ending = request["ending"].encode()
        self._stamps = bool(request.get("stamps"))
        self._runs = request.get("runs")
        self._spread_s = request.get("spread_s", 0)
        self._until = time.monotonic() + request.get("seconds", 0)
        self.late_us: list[int] = []
        self.failures: list[str] = []
        self.done = 0

    async def client(self) -> None:
        """Ask again and again: so many times, or for so long."""
        await asyncio.sleep(random.random() * self._spread_s)  # noqa: S311 - people are not in step
        asked = 0
        while asked < self._runs if self._runs else time.monotonic() < self._until:
            asked += 1
            try:
                await self._ask()
            except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as exc:
                self.failures.append(repr(exc)[:200])
                await asyncio.sleep(0.1)
            else:
                self.done += 1

    async def _ask(self) -> None:
        assert self._url.hostname is not None
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        try:
            writer.write(
                f"POST {self._url.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(self._body)}\r\n\r\n"
                "".encode()
                + self._body
            )
            status = await reader.readline()
            if b" 200 " not in status:
                raise ValueError(f"{status!r} {(await reader.read(300))!r}")
            held, ended = b"", False
            while part := await asyncio.wait_for(reader.read(1 << 16), _SILENCE_S):
                held += part
                ended = ended or self._ending in held
                held = self._read_stamps(held) if self._stamps else held[-64:]
        finally:
            writer.close()
        if not ended:
            raise ValueError(f"a stream without its end: {held[-300:]!r}")

    def _read_stamps(self, text: bytes) -> bytes:
        """How late the tokens of whole frames are; returns the beginning of the next frame."""
        now = now_us()
        *frames, rest = text.replace(b"\r\n", b"\n").split(b"\n\n")
        for frame in frames:
            if any(line in frame for line in _ANSWER):
                self.late_us += [now - int(stamp, 16) for stamp in STAMP.findall(frame)]
        return rest


async def run(request: dict[str, Any]) -> dict[str, Any]:
    """All clients side by side."""
    reading = Reading(request)
    begun = time.perf_counter()
    await asyncio.gather(*(reading.client() for _ in range(request["clients"])))
    return {
        "seconds": time.perf_counter() - begun,
        "runs": reading.done,
        "failures": len(reading.failures),
        "examples": reading.failures[:3],
        "late_us": sorted(reading.late_us)[:: max(1, len(reading.late_us) // 20_000)],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.loads(sys.argv[1])))))
