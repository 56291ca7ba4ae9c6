"""From the command to its first words: ``tandem ask`` on an existing index, in a new process.

    make bench-start

Nothing runs beside it: no server, no warm model. The limit it is compared with is a Python that
imports only what the run cannot do without: langgraph, langchain-qdrant, OpenVINO and tokenizers.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TANDEM = str(Path(sys.executable).parent / "tandem")
QUESTION = "What happens when the language model server is down?"
IMPORTS = "import langgraph.graph, langchain_qdrant, openvino, tokenizers, qdrant_edge"


def first_words_s(data_dir: Path) -> float:
    """Seconds from starting the command to the first byte of its answer."""
    started = time.perf_counter()
    with subprocess.Popen(  # noqa: S603 - our own program
        [TANDEM, "--data-dir", str(data_dir), "ask", QUESTION],
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1), "no answer"
        took = time.perf_counter() - started
        process.stdout.read()
    return took


def imports_s() -> float:
    """Seconds to start Python and import the libraries of a run."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)  # noqa: S603 - our own program
    return time.perf_counter() - started


def environment() -> dict[str, str]:
    """Without tracing, which would depend on whether a Phoenix happens to run."""
    return {**os.environ, "TANDEM_PHOENIX__ENDPOINT": ""}


def summary(seconds: list[float]) -> dict[str, float]:
    """Median and spread."""
    return {
        "median_s": round(statistics.median(seconds), 2),
        "min_s": round(min(seconds), 2),
        "max_s": round(max(seconds), 2),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--documents", type=Path, default=Path("docs"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        subprocess.run(  # noqa: S603 - our own program
            [TANDEM, "--data-dir", folder, "index", str(options.documents), "--json"],
            check=True,
            stdout=subprocess.DEVNULL,
            env=environment(),
        )
        first_words_s(data_dir)  # compiles the model's network once
        words, imports = [], []
        for _ in range(options.rounds):
            imports.append(imports_s())
            words.append(first_words_s(data_dir))
    ratios = [a / b for a, b in zip(words, imports, strict=True)]
    print(
        json.dumps(
            {
                "first_words": summary(words),
                "imports_alone": summary(imports),
                "ratio_median": round(statistics.median(ratios), 2),
                "rounds": options.rounds,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
