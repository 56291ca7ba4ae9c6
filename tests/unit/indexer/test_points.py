from hypothesis import given
from hypothesis import strategies as st

from indexer.chunking import Chunk
from indexer.points import draft, folders, keyword_text
from indexer.records import FileRecord

FILE = FileRecord(
    root="/srv/docs",
    path="guide/first_steps.md",
    source="docs/guide/first_steps.md",
    size=1,
    mtime_ns=1_700_000_000_250_000_000,
    inode=1,
    checked_ns=0,
    content_hash="",
    state="indexed",
    reason="",
    recipe="1",
    indexed_at=0.0,
)


def chunk(title: str = "Start", heading: str = "Start > Install") -> Chunk:
    return Chunk(
        text="Run make.",
        embedded_text="Start > Install\nRun make.",
        title=title,
        format="markdown",
        heading=heading,
        page=None,
        start_line=3,
        end_line=3,
        tokens=9,
    )


def test_a_passage_carries_what_searches_filter_by() -> None:
    [drafted] = draft(FILE, [chunk()], tenant="acme")
    wanted = {
        "tenant": "acme",
        "source": "docs/guide/first_steps.md",
        "folders": ["docs", "docs/guide"],
        "type": "markdown",
        "modified_at": 1_700_000_000.25,
    }
    assert {key: drafted.metadata[key] for key in wanted} == wanted


def test_another_tenants_passage_is_another_point_that_needs_no_embedding() -> None:
    [ours], [theirs] = draft(FILE, [chunk()]), draft(FILE, [chunk()], tenant="acme")
    assert ours.point.id != theirs.point.id
    assert ours.point.content_hash == theirs.point.content_hash


def test_another_time_is_no_other_point() -> None:
    [before], [after] = draft(FILE, [chunk()]), draft(FILE._replace(mtime_ns=5 * 10**9), [chunk()])
    assert before.point == after.point
    assert after.metadata["modified_at"] == 5.0


def test_keywords_are_the_files_name_a_title_that_is_no_heading_and_what_is_embedded() -> None:
    assert keyword_text(FILE.path, chunk()) == "first steps\nStart > Install\nRun make."
    said = keyword_text(FILE.path, chunk(title="Manual"))
    assert said == "first steps\nManual\nStart > Install\nRun make."


names = st.text(st.characters(exclude_characters="/"), min_size=1, max_size=5)


@given(st.lists(names, min_size=1, max_size=6))
def test_folders_are_all_those_around_a_file(parts: list[str]) -> None:
    found = folders("/".join(parts))
    assert found == ["/".join(parts[:count]) for count in range(1, len(parts))]
