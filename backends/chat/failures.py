"""What goes wrong with a server that speaks OpenAI's protocol, in our words and with advice."""

import json

from backends.chat.server import (
    ModelNotServed,
    Refused,
    ServerBusy,
    ServerDown,
    ServerFailing,
    Unreachable,
    WrongProtocol,
    shortened,
)
from errors import LanguageModelUnavailable, PromptTooLong

_LENGTH = ("context length", "context size", "context window", "too long", "max_model_len")


class Failures:
    """Errors of the server at ``url``; what it says itself is passed on without the key."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    def unreachable(self) -> Unreachable:
        """No connection."""
        return Unreachable(
            f"The language model at {self._url} cannot be reached: check that its server runs "
            "and that TANDEM_LLM__BASE_URLS is right."
        )

    def late(self, limit: str = "TANDEM_LLM__TIMEOUT_S") -> ServerDown:
        """No answer within the setting ``limit``."""
        return ServerDown(
            f"The language model at {self._url} did not answer in time: it may be overloaded "
            f"or asleep. Try again, or raise {limit}."
        )

    def broken(self, reason: object) -> ServerFailing:
        """A connection that broke, as it does when a server restarts."""
        return ServerFailing(
            f"The language model at {self._url} stopped in the middle of its reply: "
            f"{self._said(reason)}"
        )

    def foreign(self, reason: object) -> WrongProtocol:
        """A reply of another protocol."""
        return WrongProtocol(
            f"{self._url} does not answer like an OpenAI-compatible server "
            f"({self._said(reason)}): check TANDEM_LLM__BASE_URLS; it usually ends in /v1."
        )

    def refusal(self, status: int, content: bytes) -> LanguageModelUnavailable:
        """What a status code and the reply's body mean here."""
        said = self._said(_message(content))
        if status in (401, 403):
            return Refused(
                f"{self._url} refuses the API key ({status}): set TANDEM_LLM__API_KEY.", status
            )
        if status == 404:
            return ModelNotServed(
                f"{self._url} does not serve what was asked for ({said}): check "
                "TANDEM_LLM__MODEL and TANDEM_LLM__BASE_URLS, which usually end in /v1.",
                status,
            )
        if status in (400, 413, 422) and _is_about_length(said):
            return PromptTooLong(
                f"The prompt is too long for the language model at {self._url}: {said}"
            )
        if status in (408, 429) or (status >= 500 and status != 501):
            kind = ServerFailing if status >= 500 else ServerBusy
            return kind(
                f"The language model at {self._url} cannot take the request now ({status}: "
                f"{said}). Try again; if it goes on, look at its server's log."
            )
        return Refused(
            f"The language model at {self._url} refused the request ({status}): {said}", status
        )

    def _said(self, what: object) -> str:
        return shortened(str(what).replace(self._key, "***") if self._key else what)


def _message(content: bytes) -> str:
    """The server's own words in an error, wherever it puts them."""
    try:
        body = json.loads(content)
    except ValueError:
        return content.decode(errors="replace")
    if isinstance(body, dict):
        error = body.get("error", body.get("detail", body))
        return str(error.get("message", error) if isinstance(error, dict) else error)
    return str(body)


def _is_about_length(said: str) -> bool:
    """There is no code for it: vLLM and the others say it in words."""
    words = said.casefold()
    return any(term in words for term in _LENGTH)
