"""What embedding servers have in common: batches, retries, checks and clear errors, over HTTP.

A server is never trusted: every batch's vectors are counted, measured and checked for finiteness,
and a text that is too long is found by halving the batch that was refused.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from json import JSONDecodeError
from math import ceil
from typing import Any, ClassVar

import httpx
from pydantic import SecretStr

from backends.embeddings import EmbeddingFingerprint, EmbeddingModel, check_vectors, too_long
from backends.minilm.wordpiece import count_tokens, model_folder
from backends.remote_embeddings.models import ModelFacts, facts_of
from errors import EmbeddingsUnavailable

CONNECT_TIMEOUT_S = 2.0
RETRIED_STATUS = frozenset({429, 500, 502, 503, 504})
REFUSED_STATUS = frozenset({400, 413, 422})
"""What servers answer to a text, or a batch, that is too long."""
LENGTH_WORDS = ("context length", "too long", "too large", "max_model_len", "tokens", "longer than")
BYTES_PER_TOKEN = 2.5
"""A cautious estimate where no tokenizer is at hand: English prose has about 4.5 bytes a token,
source code about 3. A text that is longer all the same is refused by the server, not cut."""


class RefusalError(Exception):
    """The server answered 400, 413 or 422, in its own words."""


@dataclass(eq=False)
class RemoteEmbeddings(EmbeddingModel):
    """An embedding model behind HTTP. No request is made before the first call.

    ``attempts`` and ``retry_delay_s`` bound what a broken connection costs; the delay doubles.
    ``query_timeout_s`` bounds a query with all its attempts: somebody is waiting for it, and can
    be answered by keywords instead.
    """

    base_url: str
    name: str
    api_key: SecretStr | None = None
    batch_size: int = 32
    timeout_s: float = 60.0
    query_timeout_s: float = 10.0
    attempts: int = 3
    retry_delay_s: float = 0.2

    max_tokens: int = field(init=False)
    facts: ModelFacts = field(init=False)
    missing_model_advice: ClassVar[str]

    def __post_init__(self) -> None:
        self.facts = facts_of(self.name)
        self.max_tokens = self.facts.max_tokens
        self._http: httpx.AsyncClient | None = None
        self._dimension: int | None = None
        self._fingerprint: EmbeddingFingerprint | None = None

    @abstractmethod
    async def _request_vectors(self, texts: Sequence[str]) -> object:
        """The server's vectors for these texts, unchecked.

        Raises:
            RefusalError: the server will not embed a text or a batch like this.
        """

    @abstractmethod
    async def _describe(self) -> tuple[str, int | None]:
        """The model's digest ("" where unknown) and its context in tokens (None where unknown)."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Exact for models with BERT's vocabulary, else a cautious estimate from the size."""
        return self._count([self.facts.document_prefix + text for text in texts])

    def _count_query_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._count([self.facts.query_prefix + text for text in texts])

    def _count(self, prefixed: Sequence[str]) -> list[int]:
        if self.facts.wordpiece:
            return count_tokens(prefixed, model_folder())
        return [2 + ceil(len(text.encode()) / BYTES_PER_TOKEN) for text in prefixed]

    async def fingerprint(self) -> EmbeddingFingerprint:
        """As promised; also lowers ``max_tokens`` to the context that the server states."""
        if self._fingerprint is None:
            digest, context = await self._describe()
            if context is not None:
                self.max_tokens = min(self.max_tokens, context)
            vector = (await self._embed_queries(["dimension"]))[0]
            self._fingerprint = EmbeddingFingerprint(
                self.name, digest, len(vector), self.facts.prefixes
            )
        return self._fingerprint

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """As ``aembed_documents``; must not be called from a thread that runs an event loop."""

        async def run() -> list[list[float]]:
            # A connection belongs to the loop that opened it, so this loop gets its own.
            model = replace(self)
            try:
                return await model.aembed_documents(texts)
            finally:
                await model.aclose()

        return asyncio.run(run())

    def embed_query(self, text: str) -> list[float]:
        """As ``aembed_query``; must not be called from a thread that runs an event loop."""

        async def run() -> list[float]:
            model = replace(self)
            try:
                return await model.aembed_query(text)
            finally:
                await model.aclose()

        return asyncio.run(run())

    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        return await self._embed(texts, self.facts.document_prefix)

    async def aembed_query(self, text: str) -> list[float]:
        try:
            async with asyncio.timeout(self.query_timeout_s):
                return await super().aembed_query(text)
        except TimeoutError as exc:
            raise EmbeddingsUnavailable(
                f"{self._server} did not embed the question within {self.query_timeout_s:g} s. Is "
                "it overloaded? TANDEM_EMBEDDINGS__QUERY_TIMEOUT_S is the limit."
            ) from exc

    async def _embed_queries(self, texts: Sequence[str]) -> list[list[float]]:
        return await self._embed(texts, self.facts.query_prefix)

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def _embed(self, texts: Sequence[str], prefix: str) -> list[list[float]]:
        """A vector for each text, in order; batches are of similar length, to be padded little."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors: list[list[float]] = [[]] * len(texts)
        for start in range(0, len(order), self.batch_size):
            places = order[start : start + self.batch_size]
            for place, vector in zip(
                places, await self._embed_batch(texts, places, prefix), strict=True
            ):
                vectors[place] = vector
        return vectors

    async def _embed_batch(
        self, texts: Sequence[str], places: Sequence[int], prefix: str
    ) -> list[list[float]]:
        try:
            vectors = await self._request_vectors([prefix + texts[place] for place in places])
        except RefusalError as exc:
            if len(places) > 1:
                half = len(places) // 2
                first = await self._embed_batch(texts, places[:half], prefix)
                return first + await self._embed_batch(texts, places[half:], prefix)
            raise self._explain_refusal(exc, texts[places[0]], places[0]) from exc
        self._dimension = check_vectors(
            vectors, count=len(places), dimension=self._dimension, model=self.name
        )
        checked: list[list[float]] = vectors  # type: ignore[assignment]  # just checked
        return checked

    def _explain_refusal(self, refusal: RefusalError, text: str, place: int) -> Exception:
        if any(word in str(refusal).lower() for word in LENGTH_WORDS):
            return too_long(
                text, position=place, tokens=None, model=self.name, limit=self.max_tokens
            )
        return EmbeddingsUnavailable(f"{self._server} refused to embed with {self.name}: {refusal}")

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON answer, after a bounded number of attempts on trouble that may pass."""
        delay = self.retry_delay_s
        for attempt in range(1, self.attempts + 1):
            last = attempt == self.attempts
            try:
                response = await self._client().request(method, path, json=body)
            except httpx.TimeoutException as exc:
                # Not tried again: the next attempt would take as long.
                raise EmbeddingsUnavailable(
                    f"{self._server} did not answer within {self.timeout_s:g} s. Is it overloaded? "
                    "TANDEM_EMBEDDINGS__TIMEOUT_S is the limit."
                ) from exc
            except httpx.TransportError as exc:
                if last:
                    raise EmbeddingsUnavailable(
                        f"{self._server} cannot be reached ({exc}). Is it running? "
                        "TANDEM_EMBEDDINGS__BASE_URL is its address."
                    ) from exc
            else:
                if last or response.status_code not in RETRIED_STATUS:
                    return self._read(response)
            await asyncio.sleep(delay)
            delay *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _read(self, response: httpx.Response) -> Any:
        """The answer's JSON, or the error that its status stands for."""
        status = response.status_code
        if status in REFUSED_STATUS:
            raise RefusalError(_reason(response))
        if status == 404:
            advice = self.missing_model_advice.format(model=self.name)
            raise EmbeddingsUnavailable(
                f"{self._server} does not have {self.name} ({_reason(response)}). {advice}"
            )
        if status in (401, 403):
            raise EmbeddingsUnavailable(
                f"{self._server} wants another key: set TANDEM_EMBEDDINGS__API_KEY."
            )
        if status != 200:
            raise EmbeddingsUnavailable(f"{self._server} answered {status}: {_reason(response)}")
        try:
            return response.json()
        except (JSONDecodeError, UnicodeDecodeError) as exc:
            raise EmbeddingsUnavailable(
                f"{self._server} did not answer with JSON. Is TANDEM_EMBEDDINGS__BASE_URL right?"
            ) from exc

    @property
    def _server(self) -> str:
        """The server's address as messages may show it: without a user or a password."""
        return f"The embedding server {httpx.URL(self.base_url).copy_with(userinfo=b'')}"

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            headers = (
                {"Authorization": f"Bearer {self.api_key.get_secret_value()}"}
                if self.api_key
                else {}
            )
            self._http = httpx.AsyncClient(
                base_url=self.base_url.rstrip("/") + "/",
                headers=headers,
                timeout=httpx.Timeout(self.timeout_s, connect=CONNECT_TIMEOUT_S),
            )
        return self._http


def _reason(response: httpx.Response) -> str:
    """The server's own words: Ollama's ``error``, OpenAI's ``error.message``, or the text."""
    try:
        answer = response.json()
    except (JSONDecodeError, UnicodeDecodeError):
        return response.text[:200]
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    if isinstance(error, dict):
        error = error.get("message", error)
    return str(error)[:200]
