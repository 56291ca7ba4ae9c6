import pytest
from qdrant_client import models

from backends.qdrant_edge.filters import to_filter
from errors import UsageError


def _must(condition: models.Condition) -> models.Filter:
    return models.Filter(must=[condition])


def test_an_unsupported_condition_is_refused_by_name_however_deep() -> None:
    center = models.GeoPoint(lon=0, lat=0)
    geo = models.FieldCondition(key="where", geo_radius=models.GeoRadius(center=center, radius=1))
    nested = models.NestedCondition(nested=models.Nested(key="parts", filter=_must(geo)))
    sliced = models.SliceCondition(slice=models.Slice(total=2, index=0))
    for source in (_must(geo), _must(_must(geo)), _must(nested)):
        with pytest.raises(UsageError, match="geo_radius"):
            to_filter(source)
    with pytest.raises(UsageError, match=r"SliceCondition.*TANDEM_QDRANT__URL"):
        to_filter(_must(sliced))


def test_a_condition_that_says_nothing_or_two_things_is_refused() -> None:
    with pytest.raises(UsageError, match="says 0: nothing"):
        to_filter(_must(models.FieldCondition(key="a")))
    two = models.FieldCondition(
        key="a", match=models.MatchValue(value=1), range=models.Range(gte=1)
    )
    with pytest.raises(UsageError, match="says 2: match, range"):
        to_filter(_must(two))


def test_no_filter_stays_none() -> None:
    assert to_filter(None) is None
