"""A call of the language model as LangChain's callbacks hear it.

LangGraph's "messages" stream and the tracing both listen there. Nobody listening costs nothing;
a chat model of LangChain would cost two milliseconds of processor time for every call.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

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
from langgraph.constants import TAG_NOSTREAM

from backends.chat.server import Message, Prompt, ServedModel


class ChatRun:
    """One call, while it runs; tell it what comes back. Made by ``chat_run``."""

    def __init__(
        self, model: ServedModel, manager: AsyncCallbackManagerForLLMRun | None = None
    ) -> None:
        self._model = model
        self._manager = manager
        self._texts: list[str] = []
        self._usage: UsageMetadata | None = None
        self.finish_reason = ""

    async def token(self, text: str) -> None:
        """The next piece of the reply."""
        self._texts.append(text)
        if self._manager is not None:
            message = AIMessageChunk(content=text, id=self._id)
            await self._manager.on_llm_new_token(text, chunk=ChatGenerationChunk(message=message))

    def reply(self, text: str) -> None:
        """The whole reply at once."""
        self._texts.append(text)

    def usage(self, usage: object) -> None:
        """What the server says that the call cost, in OpenAI's fields."""
        if self._manager is not None and isinstance(usage, Mapping):
            self._usage = _usage(usage)

    async def end(self) -> None:
        """The call is over."""
        if self._manager is not None:
            await self._manager.on_llm_end(self._result())

    async def fail(self, error: BaseException) -> None:
        """The call came to nothing, or was left."""
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
            usage_metadata=self._usage,
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
    shared = os.path.commonprefix(lasts)  # noqa: RUF071 - of texts, not of paths
    ends = "\n".join(f"[{n}] …{last[len(shared) :]}" for n, last in enumerate(lasts, 1))
    return [*before, (role, shared), (role, ends)]


def _as_langchain(message: Message) -> BaseMessage:
    role, text = message
    return SystemMessage(text) if role == "system" else HumanMessage(text)


def _usage(usage: Mapping[str, Any]) -> UsageMetadata:
    given, made = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    details = usage.get("prompt_tokens_details") or {}
    return UsageMetadata(
        input_tokens=given,
        output_tokens=made,
        total_tokens=given + made,
        input_token_details=InputTokenDetails(cache_read=int(details.get("cached_tokens") or 0)),
    )
