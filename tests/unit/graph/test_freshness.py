import pytest

from graph.freshness import Freshness, in_words


def freshness(**values: object) -> Freshness:
    known: dict[str, object] = {
        "state": "current",
        "pending": 0,
        "behind_s": 0.0,
        "checked_at": "2026-01-02T03:04:05+00:00",
        "documents": 3,
        "reason": "",
    }
    return Freshness(**{**known, **values})  # type: ignore[typeddict-item]  # a test's own values


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, ""),
        ({"reason": "Indexed and not watched: papers."}, ""),
        (
            {"state": "catching_up", "pending": 1200, "behind_s": 3.21},
            "Index: catching up, 3.2 s behind the files, 1,200 to be indexed.",
        ),
        (
            {"state": "paused", "pending": 1, "behind_s": 9.0, "reason": "Ollama is away."},
            "Index: paused, 9.0 s behind the files, 1 to be indexed. Ollama is away.",
        ),
        (
            {"state": "unwatched", "behind_s": None},
            "Index: last compared with the files at 2026-01-02T03:04:05+00:00.",
        ),
        (
            {"state": "unwatched", "behind_s": None, "checked_at": None},
            "Index: never compared with the files in full.",
        ),
    ],
)
def test_people_are_told_what_is_not_current(values: dict[str, object], line: str) -> None:
    assert in_words(freshness(**values)) == line
