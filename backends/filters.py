"""What a search can be narrowed down to: plain values, the same for people and programs."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from errors import UsageError

_MOST = 50
_LONGEST = 1000


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _as_in_sources(values: tuple[str, ...]) -> tuple[str, ...]:
    """``./docs/guide/`` as ``docs/guide``, as it stands at the beginning of sources."""
    paths = tuple(value.removeprefix("./").rstrip("/") for value in values)
    if any(not path or path.startswith("/") for path in paths):
        raise ValueError("a path begins with the name of an indexed folder, like docs/guide")
    return paths


def _lower_case(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value.lower() for value in values)


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Words = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=_LONGEST)], ...],
    BeforeValidator(_one_or_more),
    Field(min_length=1, max_length=_MOST),
]
"""One of them has to fit; a single one may be given without a list."""


class SearchFilters(BaseModel):
    """Which documents are searched: those for which everything given holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Words | None = Field(
        None, description="Documents, as sources are shown: docs/guide/start.md."
    )
    path: Annotated[Words, AfterValidator(_as_in_sources)] | None = Field(
        None, description="Folders, subfolders included, or files: docs/guide."
    )
    type: Annotated[Words, AfterValidator(_lower_case)] | None = Field(
        None, description="Formats: markdown, text, pdf, docx, html, code, data and others."
    )
    since: Annotated[datetime, AfterValidator(_with_zone)] | None = Field(
        None, description="Changed at this time or later; UTC where no zone is given: 2026-03-01."
    )

    def given(self) -> dict[str, Any]:
        """What is not left open, as JSON values."""
        return self.model_dump(mode="json", exclude_none=True)


def read_filters(given: dict[str, Any]) -> SearchFilters:
    """Filters from plain values.

    Raises:
        UsageError: a filter is unknown, or its value cannot be used.
    """
    try:
        return SearchFilters.model_validate(given)
    except ValidationError as exc:
        problems = "; ".join(
            f"{error['loc'][0]}: {error['msg'].removeprefix('Value error, ')}"
            for error in exc.errors()
        )
        raise UsageError(f"Filters cannot be used: {problems}.") from exc
