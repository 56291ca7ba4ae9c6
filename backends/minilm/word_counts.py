"""Tokens counted word by word: fast where texts are plain, and the same everywhere.

BERT's tokenizer cuts a text at space and punctuation and then each word by itself, so equal words
always are equally many tokens. Indexing counts every text before it is embedded; looked up instead
of cut again, counting costs a tenth.
"""

import re
from collections.abc import Callable, Sequence

Count = Callable[[Sequence[str]], list[int]]
"""The tokens of each text, special tokens included."""

_MAX_WORDS = 300_000
"""Words that are remembered, some 30 MB; then all are forgotten: seldom, and simpler than few."""
_PUNCTUATION = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_SPACED = bytes.maketrans(_PUNCTUATION, b" " * len(_PUNCTUATION))
_NOT_PLAIN = re.compile(
    r"[^\t\n\r -~\u00a0-\u052f\u2010-\u2027\u2030-\u205e\u2070-\u23ff]"
    r"|\[(?:PAD|UNK|CLS|SEP|MASK)\]"
)
"""Characters other than those of Latin, Greek and Cyrillic text and its signs: scripts without
space between words, whose words would all be new, and what the tokenizer leaves out or breaks at
and Python does not. And what the tokenizer takes for a token of its own."""


class WordCounts:
    """Counts texts as a tokenizer with BERT's rules does, and asks it for what is new.

    For several threads; what two of them look up at once is looked up twice.
    """

    def __init__(self, count: Count) -> None:
        self._count = count
        [self._overhead] = count([""])
        self._known: dict[bytes, int] = {}
        """By the word in UTF-8: bytes are cut and counted several times as fast as letters."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each text, in order, special tokens included."""
        plain = [None if _NOT_PLAIN.search(text) else text.encode() for text in texts]
        words = [[] if text is None else text.translate(_SPACED).split() for text in plain]
        known = self._learn(words)
        others = [text for text, coded in zip(texts, plain, strict=True) if coded is None]
        counts = iter(self._counts(others))
        return [
            next(counts)
            if text is None
            else self._overhead
            + sum(map(known.__getitem__, of_text))
            + (len(text) - len(text.translate(None, _PUNCTUATION)))
            for text, of_text in zip(plain, words, strict=True)
        ]

    def _learn(self, words: Sequence[Sequence[bytes]]) -> dict[bytes, int]:
        """The counts of these words, and perhaps of more."""
        if len(self._known) > _MAX_WORDS:
            self._known = {}  # whoever is counting keeps the old one
        known = self._known
        new = list({word for of_text in words for word in of_text if word not in known})
        counts = self._counts([word.decode() for word in new])
        known.update(zip(new, (count - self._overhead for count in counts), strict=True))
        return known

    def _counts(self, texts: Sequence[str]) -> list[int]:
        """What the tokenizer says; it takes most of a millisecond to be asked for nothing."""
        return self._count(texts) if texts else []
