from typing import Any

import pytest
from langchain_qdrant.sparse_embeddings import SparseVector
from qdrant_client import models

from backends.search import FUSION, search_filter, search_request

WHERE = search_filter("default")
DENSE, WORDS = [1.0, 0.0], SparseVector(indices=[3], values=[1.0])
NO_WORDS = SparseVector(indices=[], values=[])


@pytest.mark.parametrize(("k", "width"), [(1, 100), (50, 100), (400, 800)])
def test_each_arm_looks_wider_than_what_is_wanted(k: int, width: int) -> None:
    request: Any = search_request(DENSE, WORDS, k=k, where=WHERE)
    assert request["limit"] == k
    assert request["query"] == FUSION
    assert [arm.limit for arm in request["prefetch"]] == [width, width]


def test_the_filter_is_on_every_arm_and_on_a_single_one() -> None:
    both: Any = search_request(DENSE, WORDS, k=3, where=WHERE)
    assert [arm.filter for arm in both["prefetch"]] == [WHERE, WHERE]
    for one in ((DENSE, None), (None, WORDS), (DENSE, NO_WORDS)):
        single: Any = search_request(*one, k=3, where=WHERE)
        assert single["query_filter"] == WHERE
        assert "prefetch" not in single


def test_without_words_and_embeddings_there_is_nothing_to_ask() -> None:
    assert search_request(None, NO_WORDS, k=3, where=WHERE) is None


def test_whatever_is_asked_for_the_tenant_has_to_fit_as_well() -> None:
    wanted = models.Filter(should=[models.HasIdCondition(has_id=[1])])
    for where in (None, wanted):
        must: Any = search_filter("acme", where=where).must
        assert must[0] == models.FieldCondition(
            key="metadata.tenant", match=models.MatchAny(any=["acme"])
        )
        assert must[1:] == ([wanted] if where else [])
