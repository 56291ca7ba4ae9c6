"""A server that speaks OpenAI's chat protocol, vLLM first, over a client of our own."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from backends.chat.answer_text import THINK, AnswerText
from backends.chat.connection import Connection
from backends.chat.model_server import ModelServer
from backends.chat.protocol import (
    BATCH,
    CHAT,
    NO_THINKING,
    cache_usage,
    content_of,
    forms,
    messages,
    read_choices,
    read_events,
    request,
    served_model,
    told,
)
from backends.chat.replies import check_end, without_thinking
from backends.chat.requests import MAX_CONCURRENT, Form, all_of
from backends.chat.run import ChatRun, chat_run
from backends.chat.server import Prompt, Refused, ServedModel, ServerBusy, WrongProtocol
from backends.reader import Piece, Thought
from errors import LanguageModelUnavailable, PromptTooLong
from settings import LanguageModelSettings

# What a server answers that does not know a path.
_UNKNOWN_PATH = (400, 404, 405, 422, 501)
# For what is of use and not needed, whatever comes but a dead server: a gateway may let only
# some paths through, and say so with any status.
_NO_SUCH_THING = (Refused, WrongProtocol, ServerBusy, PromptTooLong)


@dataclass(slots=True)
class _Abilities:
    """What the server turned out to do for its model; None: not tried yet."""

    batch: bool | None = None
    """Several conversations in one request."""
    form: Form = field(default_factory=Form)
    """Which of ``forms`` it takes for a choice."""
    tokenizes: bool = True
    opens_thinking: bool | None = None
    """Whether its chat template begins every reply inside a thinking block."""


class OpenAIServer(ModelServer):
    """One OpenAI-compatible server at ``base_url`` (which ends in ``/v1``)."""

    def __init__(self, settings: LanguageModelSettings, base_url: str) -> None:
        self._settings = settings
        self._connection = Connection(settings, base_url)
        super().__init__(self._connection.url)
        self._able = _Abilities()
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def choose(
        self, prompts: Sequence[Prompt], choices: Sequence[str]
    ) -> list[dict[str, float] | None]:
        """One generated token a prompt; its probabilities, or else its text, tell the choice.

        All in one request where the server takes several conversations at once, as vLLM does.
        """
        model = await self.served()
        async with chat_run("choose", model, prompts, {"choices": list(choices)}) as run:
            found = None
            if len(prompts) > 1 and self._able.batch is not False:
                found = await self._choose_in_one(model, prompts, choices, run)
            if found is None:
                found = await self._choose_one_by_one(model, prompts, choices, run)
            run.reply("\n".join(told(number, each) for number, each in enumerate(found, 1)))
        return found

    async def complete(self, prompt: Prompt, max_tokens: int) -> str:
        """The whole reply, without thinking."""
        model = await self.served()
        body = {**request(model, max_tokens), "messages": messages(prompt)}
        async with chat_run("complete", model, [prompt], {"max_tokens": max_tokens}) as run:
            reply = await self._in_form(body, [NO_THINKING, {}, {}])
            text = without_thinking("".join(map(content_of, reply["choices"][:1])))
            run.usage(reply.get("usage"))
            run.reply(text)
        return text

    async def stream(
        self,
        prompt: Prompt,
        max_tokens: int,
        *,
        silent_on: str = "",
        numbers: Mapping[int, int] | None = None,
    ) -> AsyncGenerator[Piece]:
        """The reply piece by piece, thoughts marked; closing it ends the server's work."""
        model = await self.served()
        text = AnswerText(silent_on, numbers, thinking=await self._opens_thinking(model))
        body = {
            **request(model, max_tokens),
            "messages": messages(prompt),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        async with (
            chat_run("answer", model, [prompt], {"max_tokens": max_tokens}) as run,
            aclosing(self._connection.events(CHAT, body)) as events,
        ):
            started = False
            async for came in events:
                started = True
                visible, failure = read_events(came, text, run)
                if thought := text.take_thought():
                    yield Thought(thought)
                if visible:
                    await run.token(visible)
                    yield visible
                if failure is not None:
                    raise failure
            if text.leaked:
                self._able.opens_thinking = True
            check_end(text, run.finish_reason, started=started)

    async def count_tokens(self, texts: Sequence[str]) -> list[int] | None:
        """Counted by vLLM's ``/tokenize``, a request each; None where there is no such thing."""
        model = await self.served()
        if not self._able.tokenizes:
            return None
        try:
            return list(await asyncio.gather(*(self._count(model, text) for text in texts)))
        except _NO_SUCH_THING:
            self._able.tokenizes = False
            return None

    async def cache_usage(self) -> float | None:
        """As vLLM tells it at ``/metrics``; None where there is no such thing."""
        try:
            return cache_usage(await self._connection.text_beside("/metrics"))
        except LanguageModelUnavailable:
            return None

    async def aclose(self) -> None:
        """Close its connections."""
        await self._connection.aclose()

    async def _ask_for_model(self, known: ServedModel | None) -> ServedModel:
        listed = await self._connection.probe("/models")
        return served_model(listed, self._settings.model, self.url)

    def _begin_anew(self, served: ServedModel) -> None:
        self._able = _Abilities()

    async def _choose_in_one(
        self, model: ServedModel, prompts: Sequence[Prompt], choices: Sequence[str], run: ChatRun
    ) -> list[dict[str, float] | None] | None:
        """All choices from one request; None where the server has no such request."""
        conversations = [messages(prompt) for prompt in prompts]
        body = {**request(model, 1), "messages": conversations, **forms(choices)[0]}
        try:
            reply = await self._connection.post(BATCH, body)
        except (Refused, WrongProtocol) as exc:
            if isinstance(exc, Refused) and exc.status not in _UNKNOWN_PATH:
                raise
            return None
        self._able.batch = True
        run.usage(reply.get("usage"))
        return read_choices(reply, len(prompts), choices)

    async def _choose_one_by_one(
        self, model: ServedModel, prompts: Sequence[Prompt], choices: Sequence[str], run: ChatRun
    ) -> list[dict[str, float] | None]:
        """A request each, at the same time; when one fails the others are stopped."""
        able = self._able

        async def ask(prompt: Prompt) -> dict[str, Any]:
            async with self._slots:
                body = {**request(model, 1), "messages": messages(prompt)}
                return await self._in_form(body, forms(choices))

        first, *rest = prompts
        # The first one finds out what the server takes, and fills its prefix cache.
        replies = [await ask(first)] if able.batch is None else []
        replies += await all_of(ask(prompt) for prompt in (rest if replies else prompts))
        if len(prompts) > 1:
            able.batch = False  # that these were answered shows what the refusal was about
        run.usage(*(reply.get("usage") for reply in replies))
        return [read_choices(reply, 1, choices)[0] for reply in replies]

    async def _in_form(
        self, body: dict[str, Any], extras: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The reply to a request; ``extras`` go from vLLM's own fields down to nothing."""
        return await self._able.form.ask(
            lambda extra: self._connection.post(CHAT, {**body, **extra}), extras
        )

    async def _opens_thinking(self, model: ServedModel) -> bool:
        """Whether the chat template leaves a thinking block open; vLLM can show what it makes."""
        if self._able.opens_thinking is None:
            body = {
                "model": model.id,
                "messages": [{"role": "user", "content": "?"}],
                "add_generation_prompt": True,
                "return_token_strs": True,
            }
            try:
                reply = await self._connection.post_beside("/tokenize", body, "token_strs")
                made = "".join(str(token) for token in reply["token_strs"])
            except _NO_SUCH_THING:
                made = ""
            self._able.opens_thinking = made.rstrip("\nĊ ").endswith(THINK)
        return self._able.opens_thinking

    async def _count(self, model: ServedModel, text: str) -> int:
        async with self._slots:
            body = {"model": model.id, "prompt": text, "add_special_tokens": False}
            return len((await self._connection.post_beside("/tokenize", body, "tokens"))["tokens"])
