"""Unit tests reach nothing outside their process."""

import socket
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere is a mistake in the test."""
    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))


def _guarded(method: Callable[[socket.socket, Any], Any]) -> Callable[[socket.socket, Any], Any]:
    """The method, for sockets that are files; those of a network fail the test."""

    def call(self: socket.socket, address: Any) -> Any:
        assert self.family == socket.AF_UNIX, f"a unit test uses the network: {address!r}"
        return method(self, address)

    return call
