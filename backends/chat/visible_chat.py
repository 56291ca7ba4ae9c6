"""LangChain's chat models, as far as their streams are read by people."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGenerationChunk
from pydantic import Field

from backends.chat.answer_text import AnswerText
from backends.chat.replies import visible_chunks


class VisibleChat(BaseChatModel):
    """Goes before a chat model of LangChain, and lets only what ``AnswerText`` shows through.

    The stream fails where it ends without a finish reason.
    """

    opens_thinking: bool = Field(default=False, exclude=True)
    """Whether an answer showed that the chat template opens a thinking block by itself."""

    async def _astream(
        self,
        *args: Any,
        silent_on: str = "",
        numbers: Mapping[int, int] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        chunks: Any = super()._astream(*args, **kwargs)
        text = AnswerText(silent_on, numbers, thinking=self.opens_thinking)
        async with aclosing(visible_chunks(chunks, text)) as visible:
            async for chunk in visible:
                yield chunk
        self.opens_thinking |= text.leaked
