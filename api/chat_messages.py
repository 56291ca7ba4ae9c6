"""The request body of OpenAI's chat completions, as far as Tandem reads it."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.http.bodies import Body
from errors import UsageError
from nodes.conversation import Said

MODEL = "tandem"
"""The one model that is offered; which language model answers is the server's to know."""
MAX_MESSAGES = 1_000
_UNHEARD = ("system", "developer", "tool", "function")
_TASK = re.compile(r"\s*### Task:\s.*<chat_history>", re.DOTALL)
"""How Open WebUI has a model invent a title, tags, follow-ups or search queries for a chat."""


class UnsupportedContent(UsageError):
    """A message holds what is not text."""

    code = "unsupported_content"


class _Part(BaseModel):
    """A piece of a message. Those of other types are taken too, and refused in words."""

    model_config = ConfigDict(defer_build=False)

    type: str = Field(max_length=100)
    text: str | None = None


class Message(BaseModel):
    """One message. Of its other fields nothing is read."""

    model_config = ConfigDict(defer_build=False)

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | Annotated[list[_Part], Field(max_length=100)] | None = None

    def text(self, number: int) -> str:
        """What it says; ``number`` is its place, from 1.

        Raises:
            UnsupportedContent: part of it is no text.
        """
        if not isinstance(self.content, list):
            return self.content or ""
        for part in self.content:
            if part.type not in ("text", "refusal"):
                raise UnsupportedContent(
                    f"Message {number} holds a part of type {part.type!r}, and Tandem reads text "
                    "alone. To ask about a file, have it indexed."
                )
        return "\n".join(part.text or "" for part in self.content)


class _StreamOptions(BaseModel):
    model_config = ConfigDict(defer_build=False)

    include_usage: bool = False


class _ResponseFormat(BaseModel):
    model_config = ConfigDict(defer_build=False)

    type: Literal["text"]


class ChatRequest(Body):
    """A chat completion to be made.

    Parameters of OpenAI's that steer a model, such as ``temperature``, are taken and not used.
    """

    model_config = ConfigDict(extra="ignore")

    model: str = Field(max_length=200)
    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = False
    stream_options: _StreamOptions | None = None
    n: Literal[1] | None = None
    response_format: _ResponseFormat | None = None
    metadata: (
        Annotated[
            dict[str, Annotated[str, StringConstraints(max_length=512)]], Field(max_length=16)
        ]
        | None
    ) = None

    def said(self) -> list[Said]:
        """What the user and the assistant said, in order.

        Raises:
            UnsupportedContent: a message holds what is not text.
        """
        numbered = enumerate(self.messages, 1)
        texts = [(message.role, message.text(number)) for number, message in numbered]
        return [
            Said("user" if role == "user" else "assistant", text)
            for role, text in texts
            if role not in _UNHEARD
        ]

    @property
    def is_chore(self) -> bool:
        """Whether no person asks this, but a chat client, for words about the chat itself.

        Documents cannot answer it: the whole loop would run several times a turn for nothing.
        """
        if self.stream or len(said := self.said()) != 1:
            return False
        return said[0].by == "user" and _TASK.match(said[0].text) is not None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to end with a chunk that says what the answer cost."""
        return self.stream_options is not None and self.stream_options.include_usage
