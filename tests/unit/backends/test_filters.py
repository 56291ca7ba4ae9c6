from datetime import UTC, datetime, timedelta, timezone

import pytest

from backends.filters import SearchFilters, read_filters
from errors import UsageError


def test_one_value_needs_no_list() -> None:
    assert read_filters({"source": "docs/a.md"}) == SearchFilters(source=("docs/a.md",))


def test_a_path_is_taken_as_a_shell_completes_it() -> None:
    assert read_filters({"path": ["./docs/guide/", "notes"]}).path == ("docs/guide", "notes")


def test_a_time_without_a_zone_is_utc() -> None:
    assert read_filters({"since": "2026-03-01"}).since == datetime(2026, 3, 1, tzinfo=UTC)
    there = timezone(timedelta(hours=2))
    since = read_filters({"since": "2026-03-01T12:00:00+02:00"}).since
    assert since == datetime(2026, 3, 1, 12, tzinfo=there)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tenant": "acme"}, "tenant: Extra inputs are not permitted"),
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"source": []}, "source: .* at least 1"),
        ({"source": [""]}, "source: .* at least 1"),
        ({"source": ["x"] * 51}, "source: .* at most 50"),
        ({"path": "/home/me/docs"}, "path: a path begins with the name of an indexed folder"),
        ({"path": "./"}, "path: a path begins with"),
        ({"since": "yesterday"}, "since: Input should be a valid datetime"),
    ],
)
def test_what_cannot_be_used_is_named(given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=f"^Filters cannot be used: {said}"):
        read_filters(given)


def test_what_was_given_travels_as_json_and_comes_back_the_same() -> None:
    filters = read_filters({"path": "docs", "since": "2026-03-01"})
    assert filters.given() == {"path": ["docs"], "since": "2026-03-01T00:00:00Z"}
    assert read_filters(filters.given()) == filters
