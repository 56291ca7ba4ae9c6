"""Documents on their way into the store, and the windows in which their points travel."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from indexer.points import Draft
from indexer.reading import Reading
from indexer.records import PointRecord


@dataclass(slots=True)
class Document:
    """A file that was read, and how this version of it differs from the one in force."""

    reading: Reading
    due: list[Draft]
    """Its points that are not known to be in the store."""
    stale: list[str]
    """Ids of points that it had, or was to have, and has no more."""
    kept: list[str]
    """Ids of points that it had and still has."""

    @classmethod
    def of(cls, reading: Reading, held: list[PointRecord]) -> "Document":
        """Compares a reading with the points that the store may hold of the file."""
        certain = {point.id for point in held if point.payload_hash is not None}
        now = {draft.point.id for draft in reading.drafts}
        due = [draft for draft in reading.drafts if draft.point.id not in certain]
        stale = [point.id for point in held if point.id not in now]
        return cls(reading, due, stale, sorted(certain & now))


@dataclass(slots=True)
class Window:
    """Points that are embedded and stored together; at most ``room`` when it is new."""

    room: int
    parts: list[tuple[Document, list[Draft]]] = field(default_factory=list)
    finished: list[Document] = field(default_factory=list)
    """Documents whose last point is in this window."""
    vectors: dict[str, list[float]] = field(default_factory=dict)
    """Dense vectors by content hash."""

    def take(self, document: Document, drafts: list[Draft]) -> list[Draft]:
        """Adds what there is room for; returns the rest."""
        taken, rest = drafts[: self.room], drafts[self.room :]
        # a document without points takes room too: a window full of them has to end as well
        self.room -= max(1, len(taken))
        self.parts.append((document, taken))
        if not rest:
            self.finished.append(document)
        return rest

    def drafts(self) -> Iterator[Draft]:
        """All points, in order."""
        return (draft for _, drafts in self.parts for draft in drafts)

    def missing(self) -> dict[str, str]:
        """The texts that have no vector yet, by content hash: each text once."""
        return {
            draft.point.content_hash: draft.embedded_text
            for draft in self.drafts()
            if draft.point.content_hash not in self.vectors
        }
