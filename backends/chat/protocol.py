"""OpenAI's chat protocol, with vLLM's additions: what requests hold and what replies mean."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from backends.chat.answer_text import AnswerText
from backends.chat.replies import check_progress, choice_probabilities, chosen
from backends.chat.run import ChatRun
from backends.chat.server import Prompt, ServedModel
from errors import LanguageModelUnavailable

CHAT, BATCH = "/chat/completions", "/chat/completions/batch"
NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}
# Without constraints a reply may decorate its one word, and then the word does not come first.
CHOICE_TOKENS = 8
_CACHE_USAGE = re.compile(
    r"^vllm:(?:kv|gpu)_cache_usage_perc(?:\{.*\})? ([0-9.e+-]+)$", re.MULTILINE
)
_LOGPROBS = {"logprobs": True, "top_logprobs": 10}


def served_model(listed: Any, wanted: str | None, url: str) -> ServedModel:
    """The wanted model, or else the first that the server at ``url`` lists at ``/models``.

    Raises:
        LanguageModelUnavailable: no list, or nothing on it.
    """
    try:
        models = {str(model["id"]): model for model in listed["data"]}
    except (TypeError, KeyError) as exc:
        raise LanguageModelUnavailable(
            f"{url} does not answer like an OpenAI-compatible server (it lists no models): check "
            "TANDEM_LLM__BASE_URLS; it usually ends in /v1."
        ) from exc
    name = wanted or next(iter(models), None)
    if name is None:
        raise LanguageModelUnavailable(
            f"{url} lists no model: start it with one, or set TANDEM_LLM__MODEL."
        )
    model = models.get(name, {})
    length, root = model.get("max_model_len"), model.get("root")
    return ServedModel(
        name,
        length if isinstance(length, int) and length > 0 else None,
        root if isinstance(root, str) else None,
    )


def request(model: ServedModel, max_tokens: int) -> dict[str, Any]:
    return {"model": model.id, "max_completion_tokens": max_tokens, "temperature": 0.0}


def messages(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in prompt]


def forms(choices: Sequence[str]) -> list[dict[str, Any]]:
    """How to ask for a choice, from vLLM's way down to what every server takes."""
    constraint = {"structured_outputs": {"choice": list(choices)}}
    return [
        {**_LOGPROBS, **constraint, **NO_THINKING},
        _LOGPROBS,
        {"max_completion_tokens": CHOICE_TOKENS},
    ]


def read_events(
    events: Sequence[Mapping[str, Any]], text: AnswerText, run: ChatRun
) -> tuple[str, LanguageModelUnavailable | None]:
    """What events of a stream make readable, and what is wrong after that.

    Tokens that came together are read together: each alone would cost several times as much.
    """
    visible, contents = "", ""
    try:
        for event in events:
            if usage := event.get("usage"):
                run.usage(usage)
            parts = event.get("choices")
            if not parts or not isinstance(parts[0], dict):
                continue
            delta = parts[0].get("delta")
            if not isinstance(delta, dict):
                delta = {}
            if thought := delta.get("reasoning") or delta.get("reasoning_content"):
                visible, contents = visible + text.feed(contents), ""
                text.thinks_apart()
                text.think(str(thought))
            content = delta.get("content")
            if isinstance(content, str):
                contents += content
            if reason := parts[0].get("finish_reason"):
                run.finish_reason = str(reason)
                visible, contents = visible + text.feed(contents), ""
                visible += text.finish(cut=reason == "length")
        if contents:
            visible += text.feed(contents)
        check_progress(text)
    except LanguageModelUnavailable as exc:
        return visible, exc
    return visible, None


def cache_usage(metrics: str) -> float | None:
    """The fullest key-value cache in what vLLM tells Prometheus; older ones say ``gpu``."""
    shares = [float(share) for share in _CACHE_USAGE.findall(metrics)]
    return max(shares, default=None)


def told(number: int, probabilities: Mapping[str, float] | None) -> str:
    """A choice as a person reads it in a trace."""
    if probabilities is None:
        return f"[{number}] unreadable"
    choice = max(probabilities, key=lambda each: probabilities[each])
    return f"[{number}] {choice} ({', '.join(f'{c} {p:.3f}' for c, p in probabilities.items())})"


def read_choices(
    reply: Mapping[str, Any], count: int, choices: Sequence[str]
) -> list[dict[str, float] | None]:
    """The probabilities in a reply of OpenAI's protocol to ``count`` prompts at once, in order.

    None for a prompt whose part of the reply is missing or cannot be read.
    """
    parts: list[Any] = reply["choices"]
    found: list[dict[str, float] | None] = [None] * count
    for position, part in enumerate(parts):
        index = part.get("index", position) if isinstance(part, dict) else -1
        if isinstance(index, int) and 0 <= index < count and found[index] is None:
            found[index] = _read_choice(part, choices)
    return found


def content_of(part: object) -> str:
    """The text of one choice of a reply; thinking that the server sends apart is no part of it."""
    message = part.get("message") if isinstance(part, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""


def _read_choice(part: Mapping[str, Any], choices: Sequence[str]) -> dict[str, float] | None:
    """The first token's probabilities, or else what the text says, as certain."""
    probabilities = choice_probabilities(_first_token(part), choices)
    if probabilities is None and (choice := chosen(content_of(part), choices)):
        return {other: float(other == choice) for other in choices}
    return probabilities


def _first_token(part: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The likeliest first tokens and their logprobs; empty where the server gave none."""
    try:
        first = part["logprobs"]["content"][0]
        entries = [first, *(first.get("top_logprobs") or [])]
        return [(str(entry["token"]), float(entry["logprob"])) for entry in entries]
    except (TypeError, KeyError, IndexError, AttributeError, ValueError):
        return []
