"""The page before a language model that writes as it is told: slowly, badly, or not to the end."""

import asyncio
import json
import re
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import ANSWERED_WITHIN_MS, Visit, chromium
from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.language_model_server import (
    HANG,
    Reply,
    ScriptedServer,
    batch,
    completion,
    error,
    scripted,
    stream,
)
from tests.running_service import RunningService, running_service
from tests.running_workers import await_that

QUESTION = "How high is the Vardholm lighthouse?"
CHAT, BATCH = "/v1/chat/completions", "/v1/chat/completions/batch"
YES = completion("yes", {"yes": -0.05, "no": -3.0})
PHOENIX = "http://127.0.0.1:9"
"""Nothing listens there: what is to be put down at a trace waits."""
USAGE = b"vllm:kv_cache_usage_perc 0.375\n"
HOSTILE = (
    "<script>window.ran = 1</script> <img src=http://evil.example/a.png onerror='window.ran=1'> "
    "![x](http://evil.example/b.png) [click me](javascript:window.ran=1) "
    "<https://evil.example/c> [1]"
)

WIDE = f"""The light comes every twelve seconds [1]:

```python
def light(seconds: float, interval: float = {"1" * 80}) -> bool: return seconds % interval < 1.0
```

| Season | First ferry | Last ferry | Ticket | Remark |
|---|---|---|---|---|
| Summer | 06:40 | 22:10 | 14 crowns | every hour on the hour, weather permitting |
"""


class Model:
    """A scripted server in a thread of its own."""

    def __init__(self) -> None:
        self.server: ScriptedServer
        self._ended: asyncio.Event
        self._loop: asyncio.AbstractEventLoop

    def run(self, started: "Future[None]") -> None:
        """Serve until told to end."""
        asyncio.run(self._serve(started))

    async def _serve(self, started: "Future[None]") -> None:
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        replies = [Reply([USAGE], kind="text/plain")]
        async with scripted(YES, max_model_len=8192, metrics=replies) as self.server:
            started.set_result(None)
            await self._ended.wait()

    def end(self) -> None:
        """Stop serving."""
        self._loop.call_soon_threadsafe(self._ended.set)

    def says(
        self,
        *pieces: str,
        then: tuple[str, ...] = (),
        checks: tuple[Reply, ...] = (),
        alone: str = "",
    ) -> None:
        """What it answers to the next question; before ``then`` it falls silent until released.

        ``checks`` are for the sentences that come in one piece: these are checked together.
        ``alone`` is the question as it stands alone, where it follows another.
        """
        self.server.released.clear()
        reply = stream(*pieces)
        if then:
            first = stream(*pieces, reason=None, end=())
            reply = Reply([*first.body, HANG], kind=first.kind, resumed=stream(*then))
        grades, supported = batch("yes", "yes", "no", "no"), batch(*["yes"] * 6)
        self.server.replies[BATCH] = deque([grades, *checks, supported])
        self.server.replies[CHAT] = deque([*([completion(alone)] if alone else []), reply, YES])

    def goes_on(self) -> None:
        """It is released."""
        self._loop.call_soon_threadsafe(self.server.released.set)


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    model, started = Model(), Future[None]()
    thread = threading.Thread(target=model.run, args=[started], daemon=True)
    thread.start()
    started.result(10)
    yield model
    model.end()
    thread.join(10)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("page-with-a-model")
    root = write_corpus(folder / "vardholm")
    settings = {
        "TANDEM_LLM__BASE_URLS": f"{model.server.url}/v1",
        "TANDEM_PHOENIX__ENDPOINT": PHOENIX,
    }
    with running_service(folder / "data", root, _free_port(), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, service: RunningService) -> Iterator[Visit]:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    visit = Visit(page)
    page.goto(service.url)
    yield visit
    page.close()
    assert visit.hosts == {"127.0.0.1"}
    assert visit.complaints == []


def test_an_answer_is_read_and_checked_while_it_is_written(visit: Visit, model: Model) -> None:
    model.says(
        "<think>A tower, then.</think>",
        "The tower is **41 metres** high [1]. It was painted blue [2]. There are rooms",
        then=(" [1].\n\n- built of `granite` [1]\n", "- see [the lamp](lighthouse.md) [1]"),
        checks=(batch("yes", "no"),),
    )
    turn = visit.ask(QUESTION)
    answer = turn.locator(".answer")
    expect(answer.locator("strong")).to_have_text("41 metres", timeout=ANSWERED_WITHIN_MS)
    expect(turn.locator(".node.active")).to_have_attribute("data-step", "generate")
    expect(turn.get_by_role("status").first).to_have_text("Writing the answer …")
    expect(turn.locator(".thinking")).to_have_text("ThinkingA tower, then.")
    expect(turn.get_by_text("A tower, then.")).not_to_be_visible()
    expect(answer.locator(".said.supported")).to_have_count(3)  # before, in and after the bold type
    expect(answer.locator(".said.unsupported")).to_contain_text("It was painted blue")
    expect(answer.locator(".cite.unsupported")).to_have_text("2")
    visit.picture("streaming")
    model.goes_on()
    expect(answer).to_have_attribute("aria-busy", "false", timeout=ANSWERED_WITHIN_MS)
    expect(answer.get_by_role("listitem")).to_have_count(2)
    expect(answer.locator("li code")).to_have_text("granite")
    expect(turn.locator(".notice")).to_contain_text("Not supported by the cited passages: 1")
    answer.get_by_role("button", name="the lamp").click()  # the document is one of those retrieved
    drawer = visit.page.get_by_role("dialog")
    expect(drawer.get_by_role("heading")).to_contain_text("vardholm/lighthouse.md")


def test_stopping_ends_the_models_work_and_keeps_what_was_written(
    visit: Visit, model: Model
) -> None:
    model.says("The tower is 41 metres high [1]. ", then=("Never said.",))
    left = model.server.abandoned
    turn = visit.ask(QUESTION)
    expect(turn.locator(".answer")).to_contain_text("41 metres", timeout=ANSWERED_WITHIN_MS)
    visit.page.get_by_role("button", name="Stop").click()
    expect(turn.locator(".label")).to_have_text("Stopped")
    expect(turn.locator(".answer")).to_contain_text("41 metres")
    expect(visit.page.get_by_role("button", name="Ask", exact=True)).to_be_visible()
    for _ in range(100):
        if model.server.abandoned > left:
            break
        visit.page.wait_for_timeout(50)  # the model's side tells nobody
    assert model.server.abandoned == left + 1
    visit.page.reload()
    turn = visit.page.get_by_role("article").last
    expect(turn.locator(".label")).to_have_text("Stopped")
    expect(turn.locator(".answer")).to_contain_text("41 metres")
    turn.get_by_role("button", name="Source 1", exact=True).click()
    expect(visit.page.get_by_role("dialog").locator("mark")).to_contain_text("41 metres")
    visit.page.keyboard.press("Escape")

    model.says("Forty-one metres [1].", alone=QUESTION)
    turn.get_by_role("button", name="Ask again").click()
    again = visit.page.get_by_role("article").last
    expect(again.locator(".answer")).to_contain_text("Forty-one", timeout=ANSWERED_WITHIN_MS)


def test_every_turn_is_there_again_after_the_page_was_loaded_anew(
    visit: Visit, model: Model
) -> None:
    model.says(
        "The tower is 41 metres high [1]. It was painted blue [2]. There are rooms [1].",
        checks=(batch("yes", "no"),),
    )
    visit.answered(QUESTION)
    model.says("In 1874 [1].", alone="When was the Vardholm lighthouse built?")
    visit.answered("When was it built?")
    visit.page.reload()
    turns = visit.page.get_by_role("article")
    expect(turns).to_have_count(2)
    first, second = turns.all()
    expect(first.locator(".said.unsupported")).to_contain_text("It was painted blue")
    expect(first.locator(".cite.supported").first).to_have_text("1")
    expect(first.get_by_role("link", name="Trace")).to_be_visible()
    expect(first.get_by_role("heading", name="2 passages, 2 relevant")).to_be_visible()
    expect(first.locator(".doing")).to_contain_text("tiny")
    expect(first.locator(".edge.taken")).to_have_count(2)
    expect(second.get_by_role("heading").first).to_have_text("When was it built?")
    expect(second.locator(".searches")).to_contain_text("When was the Vardholm lighthouse built?")
    expect(second.locator(".edge.taken")).to_have_count(3)
    first.get_by_role("button", name="Source 2", exact=True).click()
    expect(visit.page.get_by_role("dialog").locator("mark")).to_be_visible()


def test_a_page_that_is_left_in_its_first_answer_has_it_when_it_is_back(
    visit: Visit, model: Model
) -> None:
    model.says("The tower is 41 metres high [1]. ", then=("Never said.",))
    turn = visit.ask(QUESTION)
    expect(turn.locator(".answer")).to_contain_text("41 metres", timeout=ANSWERED_WITHIN_MS)
    visit.page.reload()
    turn = visit.page.get_by_role("article")
    expect(turn.locator(".label")).to_have_text("Stopped")
    expect(turn.locator(".answer")).to_contain_text("41 metres")


def test_code_and_tables_scroll_within_the_answer_on_a_phone(visit: Visit, model: Model) -> None:
    page = visit.page
    page.set_viewport_size({"width": 390, "height": 844})
    model.says(WIDE)
    turn = visit.answered(QUESTION)
    expect(turn.get_by_role("columnheader", name="Season")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for wide in ("pre", "table"):
        assert turn.locator(wide).evaluate("it => it.scrollWidth > it.clientWidth"), wide
    expect(turn.locator("pre .said")).to_have_count(0)  # code is no sentence
    height = turn.get_by_role("columnheader", name="Season").evaluate("it => it.clientHeight")
    assert height < 60  # no word is broken


def metrics(service: RunningService) -> str:
    """What it tells Prometheus."""
    with service.client() as client:
        return client.get("/metrics").text


def test_who_asks_a_service_that_has_no_room_is_told_when_to_try_again(
    browser: Browser, model: Model, tmp_path: Path
) -> None:
    full = {
        "TANDEM_LLM__BASE_URLS": f"{model.server.url}/v1",
        "TANDEM_MAX_RUNS": "1",
        "TANDEM_MAX_QUEUED": "0",
    }
    root = write_corpus(tmp_path / "vardholm")
    with running_service(tmp_path / "data", root, _free_port(), **full) as busy:
        model.says("The tower is 41 metres high [1]. ", then=("It is lit [1].",))
        first, second = Visit(browser.new_page()), Visit(browser.new_page())
        for visit in (first, second):
            visit.page.goto(busy.url)
        turn = first.ask(QUESTION)
        expect(turn.locator(".answer")).to_contain_text("41", timeout=ANSWERED_WITHIN_MS)
        refused = second.ask(QUESTION)
        expect(refused.get_by_role("alert")).to_contain_text(re.compile(r"Try again in \d+ s"))
        second.expected("429")
        model.goes_on()
        expect(turn.locator(".answer")).to_contain_text("lit", timeout=ANSWERED_WITHIN_MS)
        await_that(lambda: "runs_in_progress 0.0" in metrics(busy), "there is room again")
        refused.get_by_role("button", name="Ask again").click()
        again = second.page.get_by_role("article").last
        expect(again.locator(".answer")).not_to_be_empty(timeout=ANSWERED_WITHIN_MS)
        for visit in (first, second):
            visit.page.close()


def test_a_person_says_whether_an_answer_was_good_and_finds_its_trace(
    visit: Visit, model: Model
) -> None:
    model.says("Forty-one metres [1].")
    turn = visit.answered(QUESTION)
    link = turn.get_by_role("link", name="Trace")
    expect(link).to_have_attribute(
        "href", re.compile(rf"{PHOENIX}/redirects/traces/[0-9a-f]{{32}}")
    )
    bad = turn.get_by_role("button", name="Bad")
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "true")
    expect(turn.get_by_label("Comment")).to_be_focused()
    visit.page.keyboard.type("It has to say of which building.")
    with visit.page.expect_request("**/feedback") as sent:
        visit.page.keyboard.press("Enter")
    body = json.loads(sent.value.post_data or "")
    assert body["score"] == 0
    assert body["comment"] == "It has to say of which building."
    expect(turn.get_by_text("Thank you")).to_be_visible()
    expect(turn.get_by_label("Comment")).to_be_hidden()


def test_what_a_hostile_answer_holds_is_text(visit: Visit, model: Model) -> None:
    model.says(*(HOSTILE[start : start + 7] for start in range(0, len(HOSTILE), 7)))
    turn = visit.answered(QUESTION)
    answer = turn.locator(".answer")
    expect(answer).to_contain_text("<script>window.ran = 1</script>")
    expect(answer.locator("script, img, a, iframe, [onerror]")).to_have_count(0)
    expect(answer.get_by_role("button", name="Source 1", exact=True)).to_be_visible()
    assert visit.page.evaluate("window.ran") is None


def test_the_status_names_the_model_and_how_full_its_cache_is(visit: Visit) -> None:
    visit.page.get_by_role("button", name="tiny").click()
    drawer = visit.page.get_by_role("dialog")
    expect(drawer.get_by_text("8,192 tokens")).to_be_visible()
    expect(drawer.get_by_text("38 % in use")).to_be_visible()


def test_without_the_model_there_are_extracts_and_the_reason(visit: Visit, model: Model) -> None:
    model.server.replies[BATCH] = model.server.replies[CHAT] = deque([error(500, "out of memory")])
    turn = visit.answered(QUESTION)
    expect(turn.locator(".label")).to_contain_text("Degraded")
    expect(turn.locator(".label")).to_contain_text("Extracts")
    expect(turn.locator(".answer")).to_contain_text("Vardholm lighthouse")
    expect(turn.locator(".notice")).to_contain_text("127.0.0.1")


def test_a_service_that_is_killed_in_an_answer_is_told_of_and_the_text_stays(
    visit: Visit, model: Model, service: RunningService
) -> None:
    model.says("The tower is 41 metres high [1]. ", then=("Never said.",))
    turn = visit.ask(QUESTION)
    expect(turn.locator(".answer")).to_contain_text("41 metres", timeout=ANSWERED_WITHIN_MS)
    visit.forgiven = "net::ERR_"  # Chromium's own, of connections that break or cannot be made
    service.process.kill()
    service.process.wait(10)
    expect(turn.get_by_role("alert")).to_contain_text("broke off before the answer was complete")
    expect(turn.locator(".label")).to_have_text("Incomplete")
    expect(turn.locator(".answer")).to_contain_text("41 metres")
    expect(visit.page.get_by_role("button", name="No connection")).to_be_visible()

    turn.get_by_role("button", name="Ask again").click()
    again = visit.page.get_by_role("article").last
    expect(again.get_by_role("alert")).to_contain_text("The service does not answer")
