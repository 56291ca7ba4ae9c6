"""Embeddings from Ollama, over its own API (``/api/embed``).

langchain-ollama's ``OllamaEmbeddings`` is not used: it sends all texts in one request, sets no
timeout, cannot switch truncation off and takes a second to import.
"""

from collections.abc import Sequence

from backends.remote_embeddings.server import RefusalError, RemoteEmbeddings
from errors import EmbeddingMismatch, EmbeddingsUnavailable


class OllamaEmbeddings(RemoteEmbeddings):
    """A model that an Ollama server runs, ``nomic-embed-text`` by default."""

    missing_model_advice = "Run `ollama pull {model}` there."

    async def _request_vectors(self, texts: Sequence[str]) -> object:
        body = {"model": self.name, "input": list(texts), "truncate": False}
        answer = await self._call("POST", "api/embed", body)
        return answer.get("embeddings") if isinstance(answer, dict) else None

    async def _describe(self) -> tuple[str, int | None]:
        """The digest that ``/api/tags`` lists and the context that ``/api/show`` states."""
        try:
            shown = await self._call("POST", "api/show", {"model": self.name})
            tags = await self._call("GET", "api/tags")
            digests = {model["name"]: str(model["digest"]) for model in tags["models"]}
            contexts = [
                int(value)
                for key, value in shown.get("model_info", {}).items()
                if key.endswith(".context_length")
            ]
        except RefusalError as exc:
            raise EmbeddingsUnavailable(f"{self._server} refused {self.name}: {exc}") from exc
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise EmbeddingMismatch(
                f"{self._server} described {self.name} in an unknown way. Update Ollama."
            ) from exc
        full_name = self.name if ":" in self.name else f"{self.name}:latest"
        return digests.get(full_name, ""), min(contexts, default=None)
