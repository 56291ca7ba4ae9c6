"""The headings above a chunk, as they are repeated in the text that is embedded."""

from collections.abc import Iterable

from indexer.token_counts import TokenCounter

SEPARATOR = " > "
_SHARE = 3
"""Headings may take one part in so many of what the model reads."""


class Headings:
    """Heading paths cut to what may be repeated, and the room that they leave."""

    def __init__(self, counter: TokenCounter, max_tokens: int) -> None:
        self._counter = counter
        self.overhead = counter.overhead
        self._room = max_tokens - counter.overhead
        self._shown: dict[tuple[str, ...], tuple[str, int]] = {(): ("", 0)}

    def learn(self, paths: Iterable[tuple[str, ...]]) -> None:
        """Counts the tokens of paths and of all their beginnings, in one call if they are short.

        A path that takes too much loses its outermost headings; a single heading its end.
        """
        new = {path[:depth] for path in set(paths) for depth in range(1, len(path) + 1)}
        waiting = {path: path for path in sorted(new - self._shown.keys())}
        limit = self._room // _SHARE
        while waiting:
            texts = [SEPARATOR.join(shown)[: 8 * limit] for shown in waiting.values()]
            counts = self._counter.bare(texts)
            too_long = {}
            for (path, shown), text, count in zip(waiting.items(), texts, counts, strict=True):
                if count <= limit:
                    self._shown[path] = (text, count)
                else:
                    last = text[: len(text) * limit // count - 1] if limit else ""
                    too_long[path] = shown[1:] or ((last,) if last else ())
            waiting = too_long

    def shown(self, path: tuple[str, ...]) -> str:
        """What is repeated of a path that was learned."""
        return self._shown[path][0]

    def cost(self, path: tuple[str, ...]) -> int:
        """The tokens of that."""
        return self._shown[path][1]

    def room(self, path: tuple[str, ...]) -> int:
        """The tokens left for the text below a path that was learned."""
        return self._room - self.cost(path)
