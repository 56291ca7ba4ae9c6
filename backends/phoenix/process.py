"""The Phoenix that runs beside the service: started in the background, ended with it."""

import asyncio
import contextlib
import ipaddress
import logging
import os
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx

from errors import PhoenixUnavailable
from settings import PhoenixSettings

logger = logging.getLogger(__name__)

_CHILD = Path(__file__).with_name("child.py")
_LOOK_EVERY_S = 0.25
_PROBE_TIMEOUT_S = 2.0
_SETTLING_S = 2.0
"""A Phoenix whose service was just killed still answers about this long."""

_EXCEPTION = re.compile(r"[\w.]*(Error|Exception): |ERROR:\s+\[Errno")


@dataclass(frozen=True, slots=True)
class PhoenixState:
    """Where Phoenix stands, for people: in ``/readyz``, and when the service starts."""

    status: Literal["off", "starting", "ready", "failed"]
    reason: str | None = None
    """What went wrong and what to do about it; set when it failed."""


class _Port(Enum):
    FREE = auto()
    PHOENIX = auto()
    OTHER = auto()


class PhoenixProcess:
    """Phoenix at the configured endpoint: one already there is used, else a child is started.

    An endpoint on another machine is only watched for. Nothing of this holds up or fails the
    service; ``state`` says how it goes, and ``wait_ready`` raises.
    """

    def __init__(self, settings: PhoenixSettings, data_dir: Path) -> None:
        self._settings = settings
        self._folder = (data_dir / "phoenix").absolute()
        self._log = (data_dir / "logs" / "phoenix.log").absolute()
        self._state = PhoenixState("off")
        self._settled = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def endpoint(self) -> str:
        """Its address, for people and for the traces; empty when off."""
        return self._settings.endpoint

    @property
    def state(self) -> PhoenixState:
        """Where it stands now."""
        return self._state

    @property
    def log(self) -> Path:
        """What the child says, since its last start."""
        return self._log

    @property
    def pid(self) -> int | None:
        """The child's process id; None where a Phoenix was found, or none runs."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Begin in the background and return at once."""
        if not self.endpoint or self._keeper is not None:
            return
        self._state = PhoenixState("starting")
        self._keeper = asyncio.create_task(self._keep(), name="phoenix")

    async def wait_ready(self, timeout_s: float = 180.0) -> None:
        """Return when traces can be delivered and the page opened.

        Raises:
            PhoenixUnavailable: it is off, failed, or is not up in time.
        """
        if self._state.status == "off":
            raise PhoenixUnavailable("Phoenix is off: set TANDEM_PHOENIX__ENDPOINT to start it.")
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError as exc:
            raise PhoenixUnavailable(
                f"Phoenix is not up after {timeout_s:.0f} s. Its log: {self._log}"
            ) from exc
        if self._state.status == "failed":
            raise PhoenixUnavailable(self._state.reason or "Phoenix has failed.")

    async def stop(self, timeout_s: float = 5.0) -> None:
        """End the child, by force after ``timeout_s``. A Phoenix that was found stays."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        if self._process is not None:
            await _end(self._process, timeout_s)
            self._process = None
        self._state = PhoenixState("off")
        self._settled.clear()

    async def _keep(self) -> None:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=_PROBE_TIMEOUT_S) as client:
                if not await self._found(client):
                    self._process = await self._launch()
                    await self._await_child(client, self._process)
            self._settle(PhoenixState("ready"))
            if self._process is not None:
                await self._process.wait()
                raise self._ended(self._process)
        except PhoenixUnavailable as exc:
            logger.warning("%s", exc)
            self._settle(PhoenixState("failed", str(exc)))

    def _settle(self, state: PhoenixState) -> None:
        self._state = state
        self._settled.set()

    async def _found(self, client: httpx.AsyncClient) -> bool:
        """Whether a Phoenix is at the endpoint that is going to stay there."""
        port = await _probe(client, self.endpoint)
        for _ in range(int(_SETTLING_S / _LOOK_EVERY_S)):
            if port is not _Port.PHOENIX:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
            port = await _probe(client, self.endpoint)
        if port is _Port.OTHER:
            raise PhoenixUnavailable(
                f"Phoenix cannot start: another program answers at {self.endpoint}. Stop it, or "
                "choose another port with TANDEM_PHOENIX__ENDPOINT (empty: no tracing)."
            )
        if port is _Port.FREE and not _is_local(self.endpoint):
            raise PhoenixUnavailable(
                f"No Phoenix answers at {self.endpoint}, and only one on this machine can be "
                "started from here. Start it there, or change TANDEM_PHOENIX__ENDPOINT."
            )
        return port is _Port.PHOENIX

    async def _launch(self) -> asyncio.subprocess.Process:
        try:
            for folder in (self._folder, self._log.parent):
                folder.mkdir(parents=True, exist_ok=True)
            output = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as exc:
            raise PhoenixUnavailable(f"Phoenix cannot start: {exc}. See TANDEM_DATA_DIR.") from exc
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # else backends/phoenix/process.py would hide the package of that name
                str(_CHILD),
                str(os.getpid()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(self._settings, self._folder, os.environ),
                start_new_session=True,  # Ctrl-C reaches the service alone, which then stops this
            )
        finally:
            os.close(output)

    async def _await_child(
        self, client: httpx.AsyncClient, process: asyncio.subprocess.Process
    ) -> None:
        while await _probe(client, self.endpoint) is not _Port.PHOENIX:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _LOOK_EVERY_S)
                raise self._ended(process)

    def _ended(self, process: asyncio.subprocess.Process) -> PhoenixUnavailable:
        return PhoenixUnavailable(
            f"Phoenix ended with code {process.returncode}: {_reason(self._log)} "
            f"(its log: {self._log}; its data, traces only: {self._folder})"
        )


async def _probe(client: httpx.AsyncClient, endpoint: str) -> _Port:
    try:
        response = await client.get(f"{endpoint}/healthz")
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return _Port.FREE
    except httpx.TransportError:
        return _Port.OTHER
    return _Port.PHOENIX if "x-phoenix-server-version" in response.headers else _Port.OTHER


def _is_local(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _environment(
    settings: PhoenixSettings, folder: Path, inherited: Mapping[str, str]
) -> dict[str, str]:
    """What the child sees: none of our secrets, and no PHOENIX_ variable but these."""
    address = urlsplit(settings.endpoint)
    ours = {
        "PHOENIX_HOST": address.hostname or "127.0.0.1",
        "PHOENIX_PORT": str(address.port or 80),
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_DEFAULT_RETENTION_POLICY_DAYS": str(settings.retention_days),
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        "PHOENIX_TELEMETRY_ENABLED": "false",
        # Its assistant wants a hosted model; MCP is served by the service itself.
        "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
        "PHOENIX_ENABLE_MCP_SERVER": "false",
        "PHOENIX_LOGGING_LEVEL": "warning",  # else a line for every request, for ever
        "PYTHONUNBUFFERED": "1",
    }
    foreign = ("PHOENIX_", "TANDEM_", "OTEL_")
    return {k: v for k, v in inherited.items() if not k.startswith(foreign)} | ours


def _reason(log: Path) -> str:
    """The error it ended with: the last exception in its log, else the last thing it said."""
    try:
        lines = log.read_bytes()[-16384:].decode(errors="replace").splitlines()
    except OSError:
        lines = []
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if _EXCEPTION.match(line)]
    return (errors or said or ["it said nothing"])[-1][:300]


async def _end(process: asyncio.subprocess.Process, timeout_s: float) -> None:
    for kill in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kill)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), timeout_s)
            return
