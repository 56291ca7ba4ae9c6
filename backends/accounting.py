"""What the language model's calls cost, summed where they were made, and which model answered.

Whoever wants to know opens an account around the work; the calls within it, also those of tasks
that are started there, are put down in it. Without an account nothing is counted.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from typing_extensions import TypedDict

from backends.chat.server import ServedModel

_account: ContextVar["Account | None"] = ContextVar("account", default=None)


class Usage(TypedDict):
    """Tokens, as far as the server counts them."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """Of the input: what the server had computed before."""


class AnsweringModel(TypedDict):
    """The model behind an answer, as its server reports it."""

    id: str
    root: str | None
    """What the id stands for: a repository, a folder, a digest."""


NO_USAGE = Usage(input_tokens=0, output_tokens=0, cached_tokens=0)


class Account:
    """The calls of one piece of work. Made by ``accounting``."""

    def __init__(self) -> None:
        self.usage = NO_USAGE
        self.model: AnsweringModel | None = None
        """The model that was asked last."""


@contextmanager
def accounting() -> Iterator[Account]:
    """An account of the calls that are made within the block."""
    account = Account()
    token = _account.set(account)
    try:
        yield account
    finally:
        _account.reset(token)


def put_down(model: ServedModel, usage: Usage) -> None:
    """One call, once its cost is known."""
    if (account := _account.get()) is not None:
        account.usage = added(account.usage, usage)
        account.model = AnsweringModel(id=model.id, root=model.root)


def added(one: Usage, other: Usage) -> Usage:
    """Both together."""
    return Usage(
        input_tokens=one["input_tokens"] + other["input_tokens"],
        output_tokens=one["output_tokens"] + other["output_tokens"],
        cached_tokens=one["cached_tokens"] + other["cached_tokens"],
    )


def read_usage(usage: object) -> Usage:
    """What a server says in OpenAI's fields; what it does not say is 0."""
    fields = usage if isinstance(usage, Mapping) else {}
    details = fields.get("prompt_tokens_details")
    return Usage(
        input_tokens=_count(fields, "prompt_tokens"),
        output_tokens=_count(fields, "completion_tokens"),
        cached_tokens=_count(details if isinstance(details, Mapping) else {}, "cached_tokens"),
    )


def usage_of(metadata: Mapping[str, Any] | None) -> Usage:
    """What LangChain makes of it: a message's ``usage_metadata``."""
    fields = metadata or {}
    details = fields.get("input_token_details") or {}
    return Usage(
        input_tokens=_count(fields, "input_tokens"),
        output_tokens=_count(fields, "output_tokens"),
        cached_tokens=_count(details, "cache_read"),
    )


def _count(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) and value > 0 else 0
