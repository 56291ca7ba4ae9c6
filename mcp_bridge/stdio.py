"""The bridge over standard input and output, for clients that start it themselves.

Standard output carries the protocol alone: the SDK points it elsewhere for everybody else.
"""

import asyncio
import contextlib
import os
import signal
from typing import Any

from mcp.server.mcpserver import MCPServer

_CANCEL_WITHIN_S = 0.5
_CLOSE_WITHIN_S = 3.0


async def serve_stdio(bridge: MCPServer[Any], closing: contextlib.AsyncExitStack) -> None:
    """Serve until the client closes our input, or until SIGINT or SIGTERM, which end the process.

    ``closing`` is what has to be closed before.
    """
    signalled = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, signalled.set)
    serving = asyncio.create_task(bridge.run_stdio_async())
    stopping = asyncio.create_task(signalled.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        stopping.cancel()
        await closing.aclose()
        serving.result()
        return
    serving.cancel()  # ends the calls under way; not the thread that waits for input
    await asyncio.wait({serving}, timeout=_CANCEL_WITHIN_S)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_WITHIN_S):
            await closing.aclose()
    # A thread of the SDK's reads the input and cannot be interrupted: the interpreter would wait
    # for it as long as the client keeps the input open.
    os._exit(0)
