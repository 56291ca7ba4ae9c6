"""A worker of ``tandem serve --workers N``, started by it and by nobody else."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from commands.startup import lean_imports
from errors import TandemError, UnavailableError

_ENDED_WITHIN_S = 5.0
"""Once the leader is gone: nobody is there to end what hangs."""


def main(listener: int, channel: int) -> None:
    """Work with two inherited sockets: the service's own, and a channel to the leader.

    Whoever ends the service tells the leader, which ends its workers in order: a signal that is
    sent to all processes of a terminal or a unit is not for this one.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(asyncio.run(_run(listener, channel)))


async def _run(listener: int, channel: int) -> int:
    with lean_imports():
        from api.http.log_writer import written_aside
        from api.http.logs import set_up_logging
        from api.workers.channel import Channel
        from server import work
        from settings import taken_over

    leader = await Channel.open(socket.socket(fileno=channel))
    welcome: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    leader.handlers["welcome"] = welcome.set_result
    leader.handlers["drain"] = lambda _: None  # before there is anything to drain
    hearing = asyncio.create_task(leader.run())
    main_task = asyncio.current_task()
    hearing.add_done_callback(lambda _: _end_soon(main_task))
    told = await welcome
    settings = taken_over(told["settings"])
    set_up_logging(settings.log_level, settings.log_format)
    with written_aside():
        try:
            await work(
                settings, told["token"], told["leader"], socket.socket(fileno=listener), leader
            )
        except TandemError as exc:
            print(f"tandem: a worker cannot start: {exc}", file=sys.stderr)
            return exc.exit_code
        except asyncio.CancelledError:
            shutil.rmtree(Path(told["leader"]).parent, ignore_errors=True)  # nobody else does now
            return UnavailableError.exit_code
    return 0


def _end_soon(task: "asyncio.Task[int] | None") -> None:
    """The leader is gone: what is done for its clients is of no use any more."""
    if task is not None:
        task.cancel()
    timer = threading.Timer(_ENDED_WITHIN_S, os._exit, (UnavailableError.exit_code,))
    timer.daemon = True
    timer.start()
