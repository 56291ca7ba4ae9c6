"""From ``tandem serve`` to its readiness, without Phoenix, on an index that exists."""

import contextlib
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.cold_start import environment, imports_s
from benchmarks.measuring import ratios, spread
from benchmarks.serving_processes import TANDEM

_READY_S = 120.0


def ready_s(data_dir: Path) -> float:
    """Seconds from starting the command to the first 200 of ``/readyz``."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    begun = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - our own program
        [TANDEM, "--data-dir", str(data_dir), "serve", "--port", str(port)],
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    try:
        while time.perf_counter() - begun < _READY_S:
            with contextlib.suppress(httpx.TransportError):
                url = f"http://127.0.0.1:{port}/readyz"
                if httpx.get(url, trust_env=False, timeout=10).is_success:
                    return time.perf_counter() - begun
            time.sleep(0.02)
    finally:
        process.terminate()
        process.wait(30)
    raise SystemExit("the service was not ready in time")


def start(folder: Path, rounds: int) -> dict[str, Any]:
    """Seconds to readiness, beside a Python that imports what a run cannot do without."""
    data_dir = folder / "start"
    subprocess.run(  # noqa: S603 - our own program
        [TANDEM, "--data-dir", str(data_dir), "index", "docs", "--json"],
        check=True,
        stdout=subprocess.DEVNULL,
        env=environment(),
    )
    ready_s(data_dir)  # compiles the model's network once
    imports, ready = [], []
    for _ in range(rounds):
        imports.append(imports_s())
        ready.append(ready_s(data_dir))
    return {
        "ready_s": spread(ready, 2),
        "imports_alone_s": spread(imports, 2),
        "times_imports": ratios(ready, imports),
        "goal_s": 3.0,
    }
