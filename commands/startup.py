"""How a command starts: with little work, and heeding Ctrl-C."""

import contextlib
import gc
import signal
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end imports at once; under asyncio it would be heeded only after them."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def lean_imports() -> Iterator[None]:
    """Import with pydantic's ``defer_build`` on and the garbage collector off.

    Building the validators of some thousand models that a command never uses is half of its
    start-up time. pydantic builds them at first use instead; they behave the same.
    """
    from pydantic import BaseModel, ConfigDict

    config, rebuild = BaseModel.model_config, BaseModel.__dict__["model_rebuild"]

    def rebuild_if_used(cls: type[BaseModel], **options: Any) -> bool | None:
        # qdrant_client rebuilds its 400 models when imported; pydantic itself, at first use,
        # always says how.
        built: bool | None = rebuild.__get__(None, cls)(**options) if options else None
        return built

    gc.disable()
    BaseModel.model_config = ConfigDict(defer_build=True)
    BaseModel.model_rebuild = classmethod(rebuild_if_used)  # type: ignore[assignment, arg-type]  # for now
    try:
        yield
    finally:
        BaseModel.model_config = config
        BaseModel.model_rebuild = rebuild  # type: ignore[method-assign]  # as it was
        gc.freeze()  # modules stay: no need to look at them again
        gc.enable()
