"""The schema of the events of ``/ask``."""

from api.ask_events import EVENTS, event_schemas, stream_content


def test_every_reference_leads_to_a_component() -> None:
    components = event_schemas()
    items = stream_content()["itemSchema"]["oneOf"]
    assert [item["properties"]["event"]["const"] for item in items] == list(EVENTS)
    named = {reference.rpartition("/")[2] for reference in _references([items, components])}
    assert named <= set(components)
    assert {"AskStepEvent", "AskTokenEvent", "AskDoneEvent", "AskErrorEvent"} <= named


def _references(value: object) -> list[str]:
    """Every ``$ref`` in a document."""
    if isinstance(value, list):
        return [found for each in value for found in _references(each)]
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for each in value.values() for found in _references(each)]
    return []
