"""In which form a server is asked, and what is learnt from its refusals."""

from collections.abc import Mapping
from typing import Any

import pytest

from backends.chat.requests import Form
from backends.chat.server import ModelNotServed, Refused

FORMS = [{"n": 0}, {"n": 1}, {"n": 2}]


class Server:
    """Takes the forms from a number on."""

    def __init__(self, takes: int, refusal: Refused) -> None:
        self.takes = takes
        self.refusal = refusal
        self.asked: list[int] = []

    async def call(self, form: Mapping[str, Any]) -> int:
        number = int(form["n"])
        self.asked.append(number)
        if number < self.takes:
            raise self.refusal
        return number


async def test_the_richest_form_that_is_taken_is_asked_for_at_once_from_then_on() -> None:
    server, form = Server(1, Refused("no such field", 422)), Form()
    assert [await form.ask(server.call, FORMS) for _ in range(2)] == [1, 1]
    assert (server.asked, form.number) == ([0, 1, 1], 1)


async def test_when_every_form_is_refused_nothing_is_learnt_and_the_last_refusal_is_told() -> None:
    server, form = Server(9, Refused("not this prompt", 400)), Form()
    with pytest.raises(Refused, match="not this prompt"):
        await form.ask(server.call, FORMS)
    assert (server.asked, form.number) == ([0, 1, 2], None)


@pytest.mark.parametrize("refusal", [Refused("the key", 401), ModelNotServed("gone", 404)])
async def test_a_refusal_that_is_about_no_field_is_told_at_once(refusal: Refused) -> None:
    server = Server(9, refusal)
    with pytest.raises(type(refusal)):
        await Form().ask(server.call, FORMS)
    assert server.asked == [0]
