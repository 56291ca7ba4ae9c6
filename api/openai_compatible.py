"""``/v1``: the protocol of OpenAI's chat completions, for the chat clients that there are."""

import json
import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from api.answering import Answering
from api.chat_messages import MODEL, ChatRequest
from api.http.errors import error_body
from api.http.event_stream import EventStream
from api.http.leaving import LeavableRoute
from api.http.openai_errors import PREFIX, UnknownModel, openai_error
from api.run import Run
from api.security import Caller, requires
from api.sources import sources
from backends.accounting import Usage
from errors import TandemError
from graph.state import RagOutput
from graph.step import Event
from nodes.conversation import question_and_turns

_DONE = "data: [DONE]\n\n"
_NO_WORDS = "{}"
"""What is said to a client's chore: JSON, as it asks for, in which nothing is invented."""
_FREE = Usage(input_tokens=0, output_tokens=0, cached_tokens=0)


def openai_router(service: Answering) -> APIRouter:
    """The router of ``/v1``."""
    router = APIRouter(prefix=PREFIX, tags=["openai"], route_class=LeavableRoute)
    known = Depends(requires(service, "ask"))
    since = int(time.time())

    @router.get("/models", dependencies=[known])
    async def models() -> dict[str, Any]:
        """The models on offer: Tandem itself, whichever language model is behind it."""
        return {"object": "list", "data": [_model(since)]}

    @router.get("/models/{model}", dependencies=[known])
    async def model(model: str) -> dict[str, Any]:
        """One model."""
        _check_model(model)
        return _model(since)

    @router.post("/chat/completions", response_model=None)
    async def chat_completions(request: ChatRequest, caller: Annotated[Caller, known]) -> Response:
        """Answer the last message from the indexed documents; those before it are the conversation.

        With ``stream``, chunks as server-sent events, then ``[DONE]``. The documents that the
        answer was made from are in ``sources``, of the whole or of the last chunk.
        """
        _check_model(request.model)
        if request.is_chore:
            return JSONResponse(_completion(_NO_WORDS, _FREE, []))
        await service.admission.check(caller.name)
        question, turns = question_and_turns(request.said())
        context = service.context()
        events = service.answer(question, context, tenant=caller.tenant, conversation=turns)
        if request.stream:
            return EventStream(events, Chunks(with_usage=request.wants_usage))
        async with Run(events) as run:
            output = await run.output()
        answer = output["answer"] + _label(output)
        return JSONResponse(_completion(answer, output["usage"], sources(output)))

    return router


def _check_model(model: str) -> None:
    if model != MODEL:
        raise UnknownModel(f"There is no model {model[:100]!r}. Ask for {MODEL!r}.")


def _model(since: int) -> dict[str, Any]:
    return {"id": MODEL, "object": "model", "created": since, "owned_by": "tandem"}


def _envelope(kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": MODEL,
    }


def _completion(answer: str, usage: Usage, made_from: Sequence[dict[str, Any]]) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {
        **_envelope("chat.completion"),
        "choices": [choice],
        "usage": _usage(usage),
        "sources": made_from,
    }


def _label(output: RagOutput) -> str:
    """Below an answer that is less than it should be: why. These clients show nothing but text."""
    return f"\n\n> {output['notice']}" if output["status"] == "degraded" else ""


def _usage(usage: Usage) -> dict[str, Any]:
    """What the language model's calls cost, grading included; nothing where none was asked."""
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["input_tokens"] + usage["output_tokens"],
        "prompt_tokens_details": {"cached_tokens": usage["cached_tokens"]},
    }


class Chunks:
    """The events of a run as chunks of a completion; steps and verdicts are not told."""

    def __init__(self, *, with_usage: bool) -> None:
        self._with_usage = with_usage
        self._envelope = _envelope("chat.completion.chunk")
        # Nothing but its delta is written anew for a token.
        head = json.dumps({**self._envelope, "choices": [{"index": 0, "delta": 0}]})
        self._head, self._tail = head.split('"delta": 0')
        self._begun = False
        self._answered = False

    def events(self, events: Sequence[Event]) -> bytes:
        """A chunk for each piece of the answer, and what there is at the end."""
        frames = [] if self._begun else [self._delta({"role": "assistant", "content": ""})]
        self._begun = True
        for event in events:
            data = event["data"]
            if event["event"] == "token":
                self._answered = True
                frames.append(self._delta({"content": data["text"]}))
            elif event["event"] == "thinking":
                frames.append(self._delta({"reasoning_content": data["text"]}))
            elif event["event"] == "done":
                frames += self._end(data)
        return "".join(frames).encode()

    def error(self, error: TandemError) -> bytes:
        """Clients raise what stands in ``error``; there is no ``[DONE]`` then."""
        body = error_body(error.code, str(error))["error"]
        return _frame(openai_error(body, error.http_status)).encode()

    def _delta(self, delta: dict[str, str]) -> str:
        written = json.dumps(delta)
        return f'data: {self._head}"delta": {written}, "finish_reason": null{self._tail}\n\n'

    def _end(self, output: RagOutput) -> list[str]:
        rest = ("" if self._answered else output["answer"]) + _label(output)
        choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
        last = {**self._envelope, "choices": [choice], "sources": sources(output)}
        usage = {**self._envelope, "choices": [], "usage": _usage(output["usage"])}
        told = [self._delta({"content": rest})] if rest else []
        return [*told, _frame(last), *([_frame(usage)] if self._with_usage else []), _DONE]


def _frame(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"
