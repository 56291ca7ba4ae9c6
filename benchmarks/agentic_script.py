"""What the simulated model says: sensible replies to known questions, of known lengths.

It finds the case by its question in the prompt, grades by whether the document holds the fact,
rewrites to the case's next query, and answers with the fact, cited, in a fixed number of tokens.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.agentic_prompts import BETTER_QUERY, NO_ANSWER, ONE_WORD
from nodes.prompts import GRADING_TASK, NOT_FOUND, REWRITE_TASK, VERIFY_TASK

Kind = Literal["route", "grade", "verify", "rewrite", "answer"]
Messages = Sequence[Mapping[str, Any]]

_TOKENS = re.compile(
    r"(?:[^\w\r\n]|_)?[^\W\d_]+|\d{1,3}| ?(?:[^\s\w]|_)+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_MAX_USER_TURNS = 3
"""After so many, an agent that decides by itself gives up instead of searching on."""


class UnknownQuestion(ValueError):
    """A prompt without any of the cases' questions."""


def tokens(text: str) -> list[str]:
    """The text in pieces, as the splitting rule published with Llama 3's tokenizer has it.

    Common words are one token there; rare ones would be several, which is not modelled.
    """
    return _TOKENS.findall(text)


def rendered(messages: Messages) -> str:
    """The prompt as Llama 3's chat template makes it."""
    parts = []
    for message in messages:
        calls = "".join(json.dumps(call["function"]) for call in message.get("tool_calls") or ())
        content = f"{text_of(message)}{calls}"
        parts.append(
            f"<|start_header_id|>{message['role']}<|end_header_id|>\n\n{content}<|eot_id|>"
        )
    return "".join(parts) + "<|start_header_id|>assistant<|end_header_id|>\n\n"


def text_of(message: Mapping[str, Any]) -> str:
    """A message's text; it may come in parts, or be none beside a call of a tool."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says; the token that ends it is counted with it, unless it is cut."""

    kind: Kind
    pieces: list[str]
    cut: bool = False
    choices: list[str] = field(default_factory=list)
    """The constraint's, the chosen one first: for log probabilities."""
    search: str | None = None
    """The query of a call of the first tool."""

    @property
    def length(self) -> int:
        """Tokens to be generated."""
        return len(self.pieces) + (not self.cut)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class ScriptedModel:
    """Replies to the questions of some cases, as ``Case.plain`` gives them."""

    def __init__(self, cases: Sequence[Mapping[str, Any]], answer_tokens: int) -> None:
        self._answer_tokens = answer_tokens
        self._chains = {
            text: (case, place)
            for case in cases
            for place, text in enumerate([case["question"], *case["rewrites"]])
        }
        longest_first = sorted(self._chains, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first)))

    def reply(self, body: Mapping[str, Any], messages: Messages) -> Reply:
        """What it says to one conversation of a request."""
        prompt = "\n".join(map(text_of, messages))
        choices = (body.get("structured_outputs") or {}).get("choice")
        form = (body.get("response_format") or {}).get("json_schema")
        if body.get("tools"):
            reply = self._route(messages)
        elif choices:
            reply = self._choose(prompt, choices)
        elif form:
            (name, *_) = form["schema"]["properties"]
            graded = json.dumps({name: self._verdict(prompt)})
            reply = Reply("grade", tokens(graded))
        elif ONE_WORD in prompt:
            reply = Reply("grade", tokens(self._verdict(prompt)))
        elif BETTER_QUERY in prompt or REWRITE_TASK in prompt:
            reply = self._rewrite(prompt)
        else:
            reply = self._answer(prompt)
        return _limited(reply, body.get("max_completion_tokens") or body.get("max_tokens"))

    def _case(self, prompt: str) -> tuple[Mapping[str, Any], int]:
        """The case of a prompt, and how many of its queries have been tried."""
        found = [self._chains[match] for match in self._known.findall(prompt)]
        if not found:
            raise UnknownQuestion("The script knows no question in this prompt.")
        case = found[-1][0]
        return case, max(place for other, place in found if other is case)

    def _verdict(self, text: str, prompt: str = "") -> str:
        """Whether a text holds the fact that the prompt's question asks for."""
        return "yes" if self._case(prompt or text)[0]["fact"] in text else "no"

    def _choose(self, prompt: str, choices: Sequence[str]) -> Reply:
        kind: Kind = "grade"
        if VERIFY_TASK in prompt:
            kind, chosen = "verify", "yes"
        else:
            number = re.search(rf"{re.escape(GRADING_TASK)} (\d+)", prompt)
            document = _document(prompt, number.group(1)) if number else prompt
            chosen = self._verdict(document, prompt)
        others = [choice for choice in choices if choice != chosen]
        return Reply(kind, [chosen], choices=[chosen, *others])

    def _rewrite(self, prompt: str) -> Reply:
        case, tried = self._case(prompt)
        queries = [case["question"], *case["rewrites"]]
        query = queries[min(tried + 1, len(queries) - 1)]
        if REWRITE_TASK in prompt:
            query = f"MISSING: the start-up pressure itself\nSEARCH: {query}"
        return Reply("rewrite", tokens(query))

    def _route(self, messages: Messages) -> Reply:
        asked = [text_of(message) for message in messages if message["role"] == "user"]
        if len(asked) >= _MAX_USER_TURNS:
            return Reply("answer", tokens("I do not know."))
        query = next((m for m in reversed(self._known.findall(asked[-1]))), asked[-1])
        call = '{"name": "retrieve_passages", "parameters": {"query": "' + query + '"}}'
        return Reply("route", tokens(call), search=query)

    def _answer(self, prompt: str) -> Reply:
        fact = self._case(prompt)[0]["fact"]
        if fact not in prompt:
            unknown = NO_ANSWER if NO_ANSWER in prompt else "I do not know."
            return Reply("answer", tokens(NOT_FOUND if NOT_FOUND in prompt else unknown))
        sentence = tokens(f"{fact.removesuffix('.')} [1]. ")
        length = self._answer_tokens - 1  # and the end
        return Reply("answer", (sentence * (length // len(sentence) + 1))[:length])


def _document(prompt: str, number: str) -> str:
    """The numbered document's block in one of our prompts."""
    (_, *rest) = re.split(rf"^\[{number}\] ", prompt, maxsplit=1, flags=re.MULTILINE)
    return rest[0].split("\n</document", 1)[0] if rest else ""


def _limited(reply: Reply, limit: int | None) -> Reply:
    if not limit or reply.length <= limit:
        return reply
    return Reply(reply.kind, reply.pieces[:limit], True, reply.choices, reply.search)
