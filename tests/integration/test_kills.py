"""The indexer killed at random moments, in small: ``make bench-kills`` does it 300 times."""

from pathlib import Path

import pytest

from benchmarks.kills import torture

KILLS = 20
ENOUGH_S = 150
"""A slow machine does fewer."""


@pytest.mark.timeout(400)
def test_after_every_kill_the_index_equals_the_folder(tmp_path: Path) -> None:
    result = torture(tmp_path, kills=KILLS, seed=11, within_s=ENOUGH_S)
    assert result["problems"] == []
    assert result["kills"] >= 5
    assert sum(result["file_operations"].values()) > result["kills"]
