"""Documents on their way into the store, and the windows in which their points travel."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from indexer.points import Draft
from indexer.reading import Reading
from indexer.records import PointRecord


@dataclass(slots=True)
class Document:
    """A file that was read, and what of it is to be written and deleted."""

    reading: Reading
    due: list[Draft]
    """Its points that the store does not hold exactly so already."""
    stale: list[str]
    """Ids of points it had and has no more."""

    @classmethod
    def of(cls, reading: Reading, held: list[PointRecord]) -> "Document":
        """Compares a reading with the points that the store may hold of the file."""
        before = {point.id: point.payload_hash for point in held}
        drafts = reading.drafts
        due = [draft for draft in drafts if before.get(draft.point.id) != draft.point.payload_hash]
        now = {draft.point.id for draft in drafts}
        return cls(reading, due, [point for point in before if point not in now])


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
