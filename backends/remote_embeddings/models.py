"""What is known about published embedding models: task prefixes, context, vocabulary.

Source of each line: the model's card. A prefix left out lowers recall without any error, so the
known ones are added here; an unknown model gets none.
"""

from typing import NamedTuple

_RETRIEVAL_INSTRUCTION = "Represent this sentence for searching relevant passages: "


class ModelFacts(NamedTuple):
    """How a model wants to be asked."""

    document_prefix: str = ""
    query_prefix: str = ""
    max_tokens: int = 512
    wordpiece: bool = False
    """Whether its vocabulary is BERT's uncased one, so that tokens can be counted exactly."""

    @property
    def prefixes(self) -> str:
        return f"{self.document_prefix}|{self.query_prefix}"


# The first name contained in the model's name decides, so longer names stand first. No context is
# above 2048: older Ollama cuts texts there without saying so, whatever the model could read.
_KNOWN: dict[str, ModelFacts] = {
    "nomic-embed-text-v2": ModelFacts("search_document: ", "search_query: ", 512),
    "nomic-embed-text": ModelFacts("search_document: ", "search_query: ", 2048, wordpiece=True),
    "mxbai-embed-large": ModelFacts("", _RETRIEVAL_INSTRUCTION, 512, wordpiece=True),
    "snowflake-arctic-embed2": ModelFacts("", "query: ", 2048),
    "snowflake-arctic-embed-l-v2": ModelFacts("", "query: ", 2048),
    "snowflake-arctic-embed-m-v2": ModelFacts("", "query: ", 2048),
    "snowflake-arctic-embed": ModelFacts("", _RETRIEVAL_INSTRUCTION, 512, wordpiece=True),
    "bge-m3": ModelFacts("", "", 2048),
    "bge-large-en": ModelFacts("", _RETRIEVAL_INSTRUCTION, 512, wordpiece=True),
    "bge-base-en": ModelFacts("", _RETRIEVAL_INSTRUCTION, 512, wordpiece=True),
    "bge-small-en": ModelFacts("", _RETRIEVAL_INSTRUCTION, 512, wordpiece=True),
    "bge-large": ModelFacts("", _RETRIEVAL_INSTRUCTION, 512, wordpiece=True),
    "multilingual-e5": ModelFacts("passage: ", "query: ", 512),
    "e5-large": ModelFacts("passage: ", "query: ", 512, wordpiece=True),
    "e5-base": ModelFacts("passage: ", "query: ", 512, wordpiece=True),
    "e5-small": ModelFacts("passage: ", "query: ", 512, wordpiece=True),
    "embeddinggemma": ModelFacts("title: none | text: ", "task: search result | query: ", 2048),
    "qwen3-embedding": ModelFacts(
        "",
        "Instruct: Given a web search query, retrieve relevant passages that answer the query\n"
        "Query:",
        2048,
    ),
    "all-minilm": ModelFacts("", "", 256, wordpiece=True),
}


def facts_of(name: str) -> ModelFacts:
    """What is known of the model with this name; the cautious defaults for any other."""
    lowered = name.lower()
    return next((facts for known, facts in _KNOWN.items() if known in lowered), ModelFacts())
