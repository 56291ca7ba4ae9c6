"""Token counts in few calls of bounded size."""

from collections.abc import Callable, Sequence

CountTokens = Callable[[Sequence[str]], list[int]]
"""Token counts of texts as the embedding model sees them, special tokens included."""

_BATCH_CHARS = 1_000_000
"""A tokenizer keeps some hundred bytes a token until a call returns."""


class TokenCounter:
    """Counts texts and remembers what an empty one costs, so that counts can be added up."""

    def __init__(self, count_tokens: CountTokens) -> None:
        self._count_tokens = count_tokens
        [self.overhead] = count_tokens([""])

    def full(self, texts: Sequence[str]) -> list[int]:
        """What the model is given for each text: special tokens and prefix included."""
        counts: list[int] = []
        batch: list[str] = []
        chars = 0
        for text in texts:
            batch.append(text)
            chars += len(text)
            if chars >= _BATCH_CHARS:
                counts += self._count_tokens(batch)
                batch, chars = [], 0
        return counts + (self._count_tokens(batch) if batch else [])

    def bare(self, texts: Sequence[str]) -> list[int]:
        """The tokens of the texts alone, which add up when texts are joined."""
        return [count - self.overhead for count in self.full(texts)]
