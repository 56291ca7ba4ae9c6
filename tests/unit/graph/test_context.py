"""The knobs of a run, as clients see them."""

import pytest
from pydantic import ValidationError

from graph.context import RagContext, context_schema
from settings import Settings


def test_what_a_client_leaves_out_is_as_configured() -> None:
    schema = context_schema(Settings(_env_file=None, top_k=3, max_rewrites=0, deadline_s=9.5))
    assert schema().model_dump() == {
        "top_k": 3,
        "max_rewrites": 0,
        "deadline_s": 9.5,
        "verification": "annotate",
        "filters": None,
    }
    assert schema(top_k=4).max_rewrites == 0
    assert schema.model_json_schema()["properties"]["top_k"]["default"] == 3
    assert RagContext().top_k == 6


@pytest.mark.parametrize("knobs", [{"top_k": 51}, {"max_rewrites": -1}, {"tenant": "other"}])
def test_bounds_and_names_stay(knobs: dict[str, object]) -> None:
    schema = context_schema(Settings(_env_file=None, top_k=3))
    with pytest.raises(ValidationError):
        schema.model_validate(knobs)


def test_the_panel_keeps_its_explanations() -> None:
    plain = RagContext.model_json_schema()
    assert context_schema(Settings(_env_file=None)).model_json_schema() == plain
