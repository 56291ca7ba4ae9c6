"""``qdrant_client`` filters as ``qdrant_edge`` filters.

A condition that has no equal is refused by name: leaving it out would find too much.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, cast

import numpy as np
import qdrant_edge as edge
from qdrant_client import models

from backends.qdrant_edge.errors import to_id, unsupported
from errors import UsageError


def to_filter(source: models.Filter | None) -> edge.Filter | None:
    """A filter with every condition translated.

    Raises:
        UsageError: a condition is not supported, or says nothing or two things at once.
    """
    if source is None:
        return None
    return edge.Filter(
        must=_conditions(source.must),
        should=_conditions(source.should),
        must_not=_conditions(source.must_not),
        min_should=_min_should(source.min_should),
    )


def _min_should(source: models.MinShould | None) -> edge.MinShould | None:
    if source is None:
        return None
    return edge.MinShould(_conditions(source.conditions) or [], source.min_count)


def _conditions(source: Any) -> list[Any] | None:
    """One condition or a list of them, as a list."""
    if source is None:
        return None
    return [_condition(item) for item in (source if isinstance(source, list) else [source])]


def _condition(source: Any) -> Any:
    match source:
        case models.Filter():
            return to_filter(source)
        case models.FieldCondition():
            return _field_condition(source)
        case models.IsEmptyCondition(is_empty=field):
            return edge.IsEmptyCondition(field.key)
        case models.IsNullCondition(is_null=field):
            return edge.IsNullCondition(field.key)
        case models.HasIdCondition(has_id=ids):
            return edge.HasIdCondition({to_id(id_) for id_ in ids})
        case models.HasVectorCondition(has_vector=name):
            return edge.HasVectorCondition(name)
        case models.NestedCondition(nested=nested):
            return edge.NestedCondition(nested.key, to_filter(nested.filter) or edge.Filter())
    raise unsupported(f"the filter condition {type(source).__name__}")


def _field_condition(source: models.FieldCondition) -> edge.FieldCondition:
    given = {
        name: getattr(source, name)
        for name in models.FieldCondition.model_fields
        if name != "key" and getattr(source, name) is not None
    }
    if len(given) != 1:
        raise UsageError(
            f"The filter condition on {source.key!r} must say exactly one thing, "
            f"it says {len(given)}: {', '.join(given) or 'nothing'}."
        )
    [(name, value)] = given.items()
    if name not in _FIELD_CONDITIONS:
        raise unsupported(f"the filter condition {name}")
    return edge.FieldCondition(source.key, **{name: _FIELD_CONDITIONS[name](value)})


def _match(source: models.Match) -> Any:
    match source:
        case models.MatchValue(value=bool(value)):
            # The engine takes Python's True for the integer 1, numpy's for a boolean.
            return edge.MatchValue(cast(bool, np.bool_(value)))
        case models.MatchValue(value=value):
            return edge.MatchValue(value)
        case models.MatchAny(any=values):
            return edge.MatchAny(values)
        case models.MatchExcept(except_=values):
            return edge.MatchExcept(values)
        case models.MatchText(text=text):
            return edge.MatchText(text)
        case models.MatchTextAny(text_any=text):
            return edge.MatchTextAny(text)
        case models.MatchPhrase(phrase=phrase):
            return edge.MatchPhrase(phrase)
        case models.MatchPrefix(prefix=prefix):
            return edge.MatchPrefix(prefix)
        case models.MatchSubstring(substring=substring):
            return edge.MatchSubstring(substring)
    raise unsupported(f"the filter condition {type(source).__name__}")


def _range(source: models.Range | models.DatetimeRange) -> Any:
    bounds = {name: getattr(source, name) for name in ("gte", "gt", "lte", "lt")}
    if isinstance(source, models.Range):
        return edge.RangeFloat(**bounds)
    return edge.RangeDateTime(**{name: bound and _moment(bound) for name, bound in bounds.items()})


def _moment(source: datetime | date) -> str:
    """RFC 3339; without a zone it is UTC, as on the server."""
    if not isinstance(source, datetime):
        source = datetime(source.year, source.month, source.day, tzinfo=UTC)
    return (source if source.tzinfo else source.replace(tzinfo=UTC)).isoformat()


def _same(value: bool) -> bool:
    return value


_FIELD_CONDITIONS: Mapping[str, Callable[[Any], Any]] = {
    "match": _match,
    "range": _range,
    "is_empty": _same,
    "is_null": _same,
    "values_count": lambda count: edge.ValuesCount(
        lt=count.lt, gt=count.gt, lte=count.lte, gte=count.gte
    ),
}
