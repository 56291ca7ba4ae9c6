"""The indexer killed at random moments, in small: ``make bench-kills`` does it 300 times."""

from pathlib import Path

import pytest

from benchmarks.kills import torture

KILLS = 20


@pytest.mark.timeout(400)
def test_after_every_kill_the_index_equals_the_folder(tmp_path: Path) -> None:
    result = torture(tmp_path, kills=KILLS, seed=11)
    assert result["problems"] == []
    assert result["kills"] == KILLS
    assert result["found_half_done"] > 0
    assert sum(result["file_operations"].values()) > KILLS
