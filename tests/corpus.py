"""A small invented corpus, so that no answer can come from anywhere else."""

from pathlib import Path

LIGHTHOUSE = """# Vardholm lighthouse

## Construction

Vardholm lighthouse was built in 1874 by the engineer Ottilie Brandt. The tower is 41 metres high
and stands on a ledge of red granite.

## The lamp

The lamp burned rapeseed oil until 1911. Since then it has run on a carbide gas burner that turns
once every 24 seconds.

## Keepers

| keeper | years |
|---|---|
| Anselm Rook | 1874-1899 |
| Petra Lindqvist | 1899-1931 |
"""

FERRY = """The Vardholm ferry sails from Port Elsin every two hours. A single ticket costs
14 crowns, and bicycles travel free of charge.

The ferry does not run when the wind is stronger than 21 metres per second. In that case the
harbour master Joachim Reed raises a yellow flag on the pier.
"""

TIDES = '''"""Tide tables of Vardholm harbour."""


def tide_height(hour: int) -> float:
    """The height of the water above the chart datum, in metres."""
    return 1.8 + 1.2 * ((hour % 12) / 12)
'''

BIRDS = """<html><head><title>Birds of Vardholm</title><script>alert("no")</script></head>
<body><h1>Birds of Vardholm</h1><h2>Puffins</h2>
<p>About 3,200 pairs of puffins nest on the northern cliffs between April and August.</p>
</body></html>
"""


def write_corpus(folder: Path) -> Path:
    """The corpus as files below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lighthouse.md").write_text(LIGHTHOUSE)
    (folder / "ferry.txt").write_text(FERRY)
    (folder / "tides.py").write_text(TIDES)
    (folder / "birds.html").write_text(BIRDS)
    return folder
