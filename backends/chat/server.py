"""What every language-model server offers to ``LanguageModel``, whatever protocol it speaks."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from backends.reader import Piece
from errors import LanguageModelUnavailable

Message = tuple[str, str]
"""A role (``system``, ``user``) and its text."""

Prompt = Sequence[Message]
"""One conversation, which the model is to continue."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model that a server runs now."""

    id: str
    max_tokens: int | None
    """The longest prompt and reply together, in the model's tokens, where the server says so."""
    root: str | None = None
    """What the id stands for, where the server says so: a repository, a folder, a digest."""


class ServerDown(LanguageModelUnavailable):
    """The server is not there, or was there and does not answer any more."""


class Unreachable(ServerDown):
    """No connection to the server can be made at all."""


class ServerBusy(LanguageModelUnavailable):
    """The server is there but cannot take the request now: the same one may, a little later."""


class ServerFailing(ServerBusy):
    """The server fails at what it should be able to do, or is just being restarted."""


class WrongProtocol(LanguageModelUnavailable):
    """Something answered, in a way that no such server does."""


class Refused(LanguageModelUnavailable):
    """The server does not take this request, and would not take it later either."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ModelNotServed(Refused):
    """The server does not know the model or the path asked for: the model may be another now."""


class ChatServer(Protocol):
    """One server. Every method raises ``LanguageModelUnavailable`` when it does not answer."""

    @property
    def url(self) -> str:
        """Its address as it may be shown: without a password."""
        ...

    async def check(self) -> None:
        """Ask, quickly, whether it is there and which model it serves now.

        Raises:
            Unreachable: no connection within ``connect_timeout_s``.
            ServerDown: a connection, but no answer within ``connect_timeout_s`` more.
        """
        ...

    async def served(self) -> ServedModel:
        """Its model, as the last check found it; checked now if it never was."""
        ...

    def forget(self) -> None:
        """Learn the model, and what the server can do, anew next time."""
        ...

    async def choose(
        self, prompts: Sequence[Prompt], choices: Sequence[str]
    ) -> list[dict[str, float] | None]:
        """How probable each choice is as the reply to each prompt; None for an unreadable reply."""
        ...

    async def complete(self, prompt: Prompt, max_tokens: int) -> str:
        """The whole reply, without thinking."""
        ...

    def stream(
        self,
        prompt: Prompt,
        max_tokens: int,
        *,
        silent_on: str = "",
        numbers: Mapping[int, int] | None = None,
    ) -> AsyncGenerator[Piece]:
        """The reply's visible text, piece by piece; see ``AnswerText``."""
        ...

    async def count_tokens(self, texts: Sequence[str]) -> list[int] | None:
        """Each text's length in the model's own tokens; None where the server does not tell."""
        ...

    async def cache_usage(self) -> float | None:
        """The part of its key-value cache that is in use, from 0 to 1; None where it is not told.

        Asking never fails, and never takes long: it is a curiosity beside the server's work.
        """
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
