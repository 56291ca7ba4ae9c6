"""A call of the language model as LangChain's callbacks hear it.

LangGraph's "messages" stream and the tracing both listen there. Nobody listening costs nothing;
a chat model of LangChain would cost two milliseconds of processor time for every call. Single
tokens are told only where somebody does something with them: it costs as much as the token.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import reduce
from typing import Any

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.callbacks.manager import AsyncCallbackManagerForLLMRun
from langchain_core.messages import (
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langchain_core.runnables.config import (
    ensure_config,
    get_async_callback_manager_for_config,
)
from langchain_core.tracers import BaseTracer
from langgraph.constants import TAG_NOSTREAM

from backends.accounting import NO_USAGE, Usage, added, put_down, read_usage
from backends.chat.server import Message, Prompt, ServedModel

_DEAF = (
    BaseCallbackHandler.on_llm_new_token,
    AsyncCallbackHandler.on_llm_new_token,
    BaseTracer.on_llm_new_token,
)
"""What does nothing with a token but keep it, which the whole reply makes up for at the end."""


class ChatRun:
    """One call, while it runs; tell it what comes back. Made by ``chat_run``."""

    def __init__(
        self, model: ServedModel, manager: AsyncCallbackManagerForLLMRun | None = None
    ) -> None:
        self._model = model
        self._manager = manager
        self._heard = manager is not None and any(map(_hears_tokens, manager.handlers))
        self._texts: list[str] = []
        self._usage: Usage | None = None
        self.finish_reason = ""

    async def token(self, text: str) -> None:
        """The next piece of the reply. The first is told to all: when it came is of interest."""
        self._texts.append(text)
        if self._manager is not None and (self._heard or len(self._texts) == 1):
            message = AIMessageChunk(content=text, id=self._id)
            await self._manager.on_llm_new_token(text, chunk=ChatGenerationChunk(message=message))

    def reply(self, text: str) -> None:
        """The whole reply at once."""
        self._texts.append(text)

    def usage(self, *usages: object) -> None:
        """What the server says that its requests cost in all, in OpenAI's fields."""
        said = [read_usage(usage) for usage in usages if isinstance(usage, Mapping)]
        if said:
            self._usage = reduce(added, said)

    async def end(self) -> None:
        """The call is over."""
        put_down(self._model, self._usage or NO_USAGE)
        if self._manager is not None:
            await self._manager.on_llm_end(self._result())

    async def fail(self, error: BaseException) -> None:
        """The call came to nothing, or was left."""
        if self._texts or self._usage:
            put_down(self._model, self._usage or NO_USAGE)
        if self._manager is not None:
            await self._manager.on_llm_error(error, response=self._result())

    @property
    def _id(self) -> str | None:
        return None if self._manager is None else f"run-{self._manager.run_id}"

    def _result(self) -> LLMResult:
        named = {"model_name": self._model.id, "root": self._model.root}
        message = AIMessageChunk(
            content="".join(self._texts),
            id=self._id,
            usage_metadata=None if self._usage is None else _metadata(self._usage),
            response_metadata={**named, "finish_reason": self.finish_reason},
        )
        return LLMResult(generations=[[ChatGeneration(message=message)]], llm_output=named)


@asynccontextmanager
async def chat_run(
    name: str, model: ServedModel, prompts: Sequence[Prompt], parameters: Mapping[str, Any]
) -> AsyncIterator[ChatRun]:
    """A call of the model for these prompts, told to whoever listens.

    What is called ``answer`` is heard in LangGraph's "messages"; grades and rewrites are not.
    """
    run = await _begin(name, model, prompts, parameters)
    try:
        yield run
    except BaseException as exc:
        await run.fail(exc)
        raise
    await run.end()


async def _begin(
    name: str, model: ServedModel, prompts: Sequence[Prompt], parameters: Mapping[str, Any]
) -> ChatRun:
    config = ensure_config()
    callbacks = get_async_callback_manager_for_config(config)
    if not callbacks.handlers:
        return ChatRun(model)
    if name != "answer":
        callbacks.add_tags([TAG_NOSTREAM])
    callbacks.add_metadata({"ls_model_name": model.id, "ls_provider": "openai"})
    (manager,) = await callbacks.on_chat_model_start(
        {"name": name},
        [[_as_langchain(message) for message in together(prompts)]],
        name=name,
        invocation_params={"model": model.id, "model_root": model.root, **parameters},
    )
    return ChatRun(model, manager)


def together(prompts: Sequence[Prompt]) -> list[Message]:
    """Prompts of one request as one conversation: what they share once, then each one's own end."""
    if len(prompts) == 1:
        return list(prompts[0])
    *before, (role, _) = prompts[0]
    lasts = [prompt[-1][1] for prompt in prompts]
    shared = _shared_beginning(lasts)
    ends = "\n".join(f"[{n}] …{last[len(shared) :]}" for n, last in enumerate(lasts, 1))
    return [*before, (role, shared), (role, ends)]


def _shared_beginning(texts: Sequence[str]) -> str:
    """Found by halving: ``os.path.commonprefix`` goes through long texts letter by letter."""
    first, last = min(texts), max(texts)
    shared, end = 0, len(first) + 1
    while end - shared > 1:
        middle = (shared + end) // 2
        if last.startswith(first[:middle]):
            shared = middle
        else:
            end = middle
    return first[:shared]


def _as_langchain(message: Message) -> BaseMessage:
    role, text = message
    return SystemMessage(text) if role == "system" else HumanMessage(text)


def _hears_tokens(handler: BaseCallbackHandler) -> bool:
    """Whether a handler does something of its own with every token."""
    if type(handler).on_llm_new_token not in _DEAF:
        return True
    own = getattr(type(handler), "_on_llm_new_token", BaseTracer._on_llm_new_token)
    return own is not BaseTracer._on_llm_new_token


def _metadata(usage: Usage) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        total_tokens=usage["input_tokens"] + usage["output_tokens"],
        input_token_details=InputTokenDetails(cache_read=usage["cached_tokens"]),
    )
