"""What every language-model server offers to ``LanguageModel``, whatever protocol it speaks."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from errors import LanguageModelUnavailable

Message = tuple[str, str]
"""A role (``system``, ``user``) and its text, as LangChain's chat models take them."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model that a server runs now."""

    id: str
    max_tokens: int | None
    """The longest prompt and reply together, in the model's tokens, where the server says so."""


class ServerBusy(LanguageModelUnavailable):
    """The server is there but cannot take the request now: the same one may, a little later."""


class ModelNotServed(LanguageModelUnavailable):
    """The server does not know the model that was asked for: it may have been exchanged."""


class ChatServer(Protocol):
    """One server. Every method raises ``LanguageModelUnavailable`` when it does not answer."""

    async def served(self) -> ServedModel:
        """Its model, asked for once and then remembered."""
        ...

    def forget(self) -> None:
        """Ask for the model again next time."""
        ...

    async def choose(
        self, messages: Sequence[Message], choices: Sequence[str]
    ) -> dict[str, float] | None:
        """How probable each choice is as the reply; None where the reply is unreadable."""
        ...

    async def complete(self, messages: Sequence[Message], max_tokens: int) -> str:
        """The whole reply, without thinking."""
        ...

    def stream(
        self, messages: Sequence[Message], max_tokens: int, silent_on: str
    ) -> AsyncGenerator[str]:
        """The reply's visible text, piece by piece."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


def displayed(url: str) -> str:
    """The URL for messages: without a user name, a password or a query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def shortened(text: object, limit: int = 200) -> str:
    """A server's own words for use inside a message: one line, bounded."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else f"{line[:limit]}…"
