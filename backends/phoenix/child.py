"""Runs Phoenix's server and ends with the process that started it.

A program of its own: ``python -P phoenix_child.py PARENT_PID``. Imports nothing of the project, so
that it starts from any folder.
"""

import os
import signal
import sys
import threading
import time

_LOOK_EVERY_S = 0.5
_GRACE_S = 5.0


def end_with(parent: int) -> None:
    """Wait until the parent is gone, however it ended, then end this process and its children.

    The parent's pid is compared rather than a pipe or a parent-death signal awaited: a pipe stays
    open in whatever else the parent forked, and the signal follows a thread, on Linux only.
    """
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def serve() -> None:
    """Phoenix's own ``phoenix serve``, without its gRPC port."""
    from phoenix.server import app
    from phoenix.server.main import main

    # That port would be open on all interfaces, whatever PHOENIX_HOST says; traces come over
    # HTTP. Should the name move, this fails rather than open it.
    grpc_server = vars(app)["GrpcServer"]

    def disabled(*args: object, **kwargs: object) -> object:
        return grpc_server(*args, **kwargs | {"disabled": True})

    vars(app)["GrpcServer"] = disabled
    sys.argv = ["phoenix", "serve"]
    main()


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(int(sys.argv[1]),), daemon=True).start()
    # Its start takes 10 to 20 s of CPU, which the service and its first answers need more.
    os.nice(10)
    serve()
