"""Embeddings from any server with OpenAI's ``/v1/embeddings``: vLLM, TEI, llama.cpp, LM Studio."""

from collections.abc import Sequence

from backends.remote_embeddings.server import RefusalError, RemoteEmbeddings
from errors import EmbeddingMismatch, EmbeddingsUnavailable


class OpenAIEmbeddings(RemoteEmbeddings):
    """A model behind ``BASE_URL/embeddings``; the base URL usually ends in ``/v1``."""

    missing_model_advice = (
        "TANDEM_EMBEDDINGS__MODEL must be one that it serves, and TANDEM_EMBEDDINGS__BASE_URL "
        "usually ends in /v1."
    )

    async def _request_vectors(self, texts: Sequence[str]) -> object:
        body = {"model": self.name, "input": list(texts), "encoding_format": "float"}
        answer = await self._call("POST", "embeddings", body)
        try:
            # The order of the list is not promised, the index is.
            rows = sorted(answer["data"], key=lambda row: int(row["index"]))
            if [row["index"] for row in rows] != list(range(len(rows))):
                raise EmbeddingMismatch(f"{self.name} returned vectors of unclear order.")
            return [row["embedding"] for row in rows]
        except (KeyError, TypeError, ValueError) as exc:
            raise EmbeddingMismatch(
                f"{self._server} answered, but not like an OpenAI-compatible embedding server."
            ) from exc

    async def _describe(self) -> tuple[str, int | None]:
        """No digest: the protocol has none. vLLM states the context in its list of models."""
        try:
            listed = await self._call("GET", "models")
            contexts = [
                int(model["max_model_len"])
                for model in listed["data"]
                if model["id"] == self.name and model.get("max_model_len")
            ]
        except (
            RefusalError,
            EmbeddingsUnavailable,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
        ):
            # Servers need not list their models; what they can embed shows when they do.
            return "", None
        return "", min(contexts, default=None)
