"""How the engine is told to lay a collection out."""

from qdrant_client import models

from backends.qdrant_edge.config import MAX_SEGMENT_KB, to_config


def test_what_is_indexed_at_once_is_bounded() -> None:
    """Else the process that builds the search index takes memory as the collection grows."""
    dense = models.VectorParams(size=384, distance=models.Distance.COSINE)
    optimizers = to_config({"dense": dense}, {}).optimizers
    assert optimizers is not None
    assert optimizers.max_segment_size == MAX_SEGMENT_KB
