"""MiniLM's compiled network on disk, so that the next process need not compile it again.

OpenVINO's own ``CACHE_DIR`` is not used: it needs the whole network built to find the cached one,
finds another one whenever a second network was built earlier in the process, and never removes the
files of older versions.
"""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import openvino as ov  # type: ignore[import-untyped]  # it ships no types

PREFIX = "minilm-"


def cache_file(folder: Path, weights: Path, openvino_version: str, options: dict[str, Any]) -> Path:
    """The file for exactly these weights, this OpenVINO and these options."""
    found = weights.stat()
    parts = [openvino_version, *options.values(), found.st_size, found.st_mtime_ns]
    name = "-".join(str(part) for part in parts)
    return folder / f"{PREFIX}{name.replace(os.sep, '_')}.blob"


def load(core: "ov.Core", path: Path, options: dict[str, Any]) -> "ov.CompiledModel | None":
    """The compiled network; None where there is none or it is damaged."""
    import openvino as ov

    try:
        content = np.memmap(path, dtype=np.uint8, mode="r")
        return core.import_model(ov.Tensor(content), "CPU", options)
    except (OSError, ValueError, RuntimeError):
        return None


def save(network: "ov.CompiledModel", path: Path) -> None:
    """Keep the compiled network, 90 MB, in place of any older one.

    A folder that cannot be written is no error: loading will be slower, not wrong.
    """
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            written = Path(folder) / path.name
            written.write_bytes(network.export_model().getbuffer())
            written.replace(path)
        for other in path.parent.glob(f"{PREFIX}*.blob"):
            if other != path:
                other.unlink(missing_ok=True)
