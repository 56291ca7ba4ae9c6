"""Phoenix as a child: found, started, stopped, and never left behind."""

import asyncio
import re
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from backends.phoenix import process as phoenix_module
from backends.phoenix.process import PhoenixProcess
from errors import PhoenixUnavailable
from settings import PhoenixSettings

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(300)  # Phoenix takes 20 s to start, a minute on a busy machine


async def test_phoenix_listens_on_loopback_only(phoenix_process: PhoenixProcess) -> None:
    assert phoenix_process.pid is not None
    assert await asyncio.to_thread(listening, phoenix_process.pid) == {"0100007F"}


async def test_the_page_loads_nothing_from_elsewhere(phoenix: str) -> None:
    async with httpx.AsyncClient(base_url=phoenix, trust_env=False, timeout=30) as client:
        page = (await client.get("/")).text
        styles = [
            (await client.get(link)).text
            for link in re.findall(r'rel="stylesheet" href="(.*?)"', page)
        ]

    loads = (
        r'(?:src|href)\s*=\s*"(?:https?:)?//|url\(\s*[\'"]?(?:https?:)?//|@import\s+["\']https?:'
    )
    assert 'allowExternalResources: Boolean("False"' in page
    assert styles
    assert [found for text in (page, *styles) if (found := re.findall(loads, text))] == []


async def test_a_phoenix_that_is_there_is_used_and_left_alone(phoenix: str, tmp_path: Path) -> None:
    second = PhoenixProcess(PhoenixSettings(endpoint=phoenix), tmp_path)

    await second.start()
    await second.wait_ready(30)
    assert second.pid is None
    await second.stop()

    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{phoenix}/healthz")).is_success


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"220 mail\r\n"]
)
async def test_a_taken_port_is_named_with_what_to_do(tmp_path: Path, reply: bytes) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        process = PhoenixProcess(PhoenixSettings(endpoint=endpoint), tmp_path)
        await process.start()
        with pytest.raises(PhoenixUnavailable, match="TANDEM_PHOENIX__ENDPOINT") as caught:
            await process.wait_ready(30)
        assert process.state.status == "failed"
        await process.stop()

    assert endpoint in str(caught.value)


async def test_a_phoenix_that_dies_leaves_its_reason(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child.py"
    child.write_text(
        "import atexit\natexit.register(print, 'Exiting.')\nraise RuntimeError('no disk')\n"
    )
    monkeypatch.setattr(phoenix_module, "_CHILD", child)
    process = PhoenixProcess(
        PhoenixSettings(endpoint=f"http://127.0.0.1:{free_port}"), tmp_path / "data"
    )

    await process.start()
    with pytest.raises(PhoenixUnavailable, match="RuntimeError: no disk") as caught:
        await process.wait_ready(30)
    await process.stop()

    assert str(process.log) in str(caught.value)


async def test_stopping_does_not_wait_for_a_deaf_child(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child.py"
    child.write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\ntime.sleep(3600)\n"
    )
    monkeypatch.setattr(phoenix_module, "_CHILD", child)
    process = PhoenixProcess(PhoenixSettings(endpoint=f"http://127.0.0.1:{free_port}"), tmp_path)
    await process.start()
    await until(lambda: process.log.exists() and b"deaf" in process.log.read_bytes())
    pid = process.pid
    assert pid is not None

    await process.stop(timeout_s=0.1)

    assert not running(pid)


OWNER = """
import asyncio, sys
from pathlib import Path
from backends.phoenix.process import PhoenixProcess
from settings import PhoenixSettings

async def main():
    process = PhoenixProcess(PhoenixSettings(endpoint=sys.argv[1]), Path(sys.argv[2]))
    await process.start()
    await process.wait_ready()
    print(process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_killing_the_service_ends_phoenix(tmp_path: Path, free_port: int) -> None:
    endpoint = f"http://127.0.0.1:{free_port}"
    owner = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        OWNER,
        endpoint,
        str(tmp_path),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert owner.stdout is not None
    try:
        pid = int(await asyncio.wait_for(owner.stdout.readline(), 200))
    finally:
        owner.kill()
        await owner.wait()

    await until(lambda: not running(pid))
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{endpoint}/healthz")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(0.02)


def running(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has reaped yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def listening(pid: int) -> set[str]:
    """The addresses, in the kernel's notation, on which a process accepts TCP connections."""
    inodes = {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.add(fields[1].partition(":")[0])
    return found
