"""Tandem as people meet it in Open WebUI: ``make test-openwebui``."""

import re
from collections import deque
from collections.abc import Iterator

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser, Page, expect

from tests.browser import ANSWERED_WITHIN_MS, chromium
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
from tests.openwebui.serving import ENVIRONMENT, open_webui
from tests.running_service import RunningService, running_service

QUESTION = "How high is the Vardholm lighthouse?"
CHAT, BATCH = "/v1/chat/completions", "/v1/chat/completions/batch"
YES = completion("yes", {"yes": -0.05, "no": -3.0})

pytestmark = [
    pytest.mark.skipif(
        not list(ENVIRONMENT.glob("installed-*")), reason="needs `make test-openwebui`"
    ),
    pytest.mark.timeout(300),  # the first test waits for Open WebUI's start
]


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def model(portal: BlockingPortal) -> Iterator[ScriptedServer]:
    with portal.wrap_async_context_manager(scripted(YES, max_model_len=8192)) as model:
        yield model


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, model: ScriptedServer
) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("tandem")
    root = write_corpus(folder / "vardholm")
    settings = {"TANDEM_LLM__BASE_URLS": f"{model.url}/v1"}
    with running_service(folder / "data", root, _free_port(), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, service: RunningService) -> Iterator[str]:
    made = service.tandem("keys", "create", "open-webui", "--scopes", "ask")
    (key,) = re.findall(r"tandem_\S+", made.stdout)
    with open_webui(tmp_path_factory.mktemp("open-webui"), f"{service.url}/v1", key) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(url)
    news = page.get_by_role("button", name="Okay, Let's Go!")  # on the first visit of all
    expect(news.or_(page.locator("#chat-input")).first).to_be_visible(timeout=ANSWERED_WITHIN_MS)
    if news.is_visible():
        news.click()
    yield page
    page.close()


def ask(page: Page, question: str) -> None:
    page.locator("#chat-input").click()
    page.keyboard.insert_text(question)
    page.get_by_role("button", name="Send message").click()


def expect_answer(page: Page, text: str) -> None:
    answer = page.locator("#response-content-container").last
    expect(answer).to_contain_text(text, timeout=ANSWERED_WITHIN_MS)


def says(model: ScriptedServer, *replies: Reply) -> None:
    """What the language model answers; it finds two of four documents relevant before."""
    model.released.clear()
    grades = batch("yes", "yes", "no", "no")
    model.replies[BATCH] = deque([grades, batch(*["yes"] * 6)])
    model.replies[CHAT] = deque([*replies, YES])


def hesitates(*pieces: str, then: str) -> Reply:
    """An answer that pauses until the server is released."""
    first = stream(*pieces, reason=None, end=())
    return Reply([*first.body, HANG], kind=first.kind, resumed=stream(then))


def test_an_answer_streams_and_its_sources_can_be_looked_at(
    page: Page, model: ScriptedServer, portal: BlockingPortal
) -> None:
    expect(page.get_by_role("button", name="Selected model: tandem")).to_be_visible()
    says(model, hesitates("The tower is 41 metres high [1]. ", then="On red granite [1]."))
    ask(page, QUESTION)
    expect_answer(page, "41 metres")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    portal.call(model.released.set)
    expect_answer(page, "On red granite")
    page.get_by_role("button", name="2 Sources").click()
    place = re.compile(r"\[1\] vardholm.lighthouse\.md, lines \d+-\d+: Vardholm lighthouse")
    expect(page.get_by_role("button", name=place).last).to_be_visible()
    page.get_by_role("button", name="[1] vardholm").first.click()  # the marker in the text
    expect(page.get_by_role("dialog")).to_contain_text("The tower is 41 metres high")


def test_a_chat_is_named_without_the_language_model(page: Page, model: ScriptedServer) -> None:
    says(model, stream("It stands on granite [1]."))
    ask(page, "What does the lighthouse stand on?")
    expect_answer(page, "It stands on granite")
    expect(page).to_have_title(re.compile("^What does the lighthouse"))
    page.wait_for_timeout(2_000)  # whatever Open WebUI asks by itself it asks by now
    assert model.asked(CHAT)
    assert "### Task" not in str(model.requests)


def test_a_follow_up_is_understood_from_the_chat(page: Page, model: ScriptedServer) -> None:
    says(model, stream("Ottilie Brandt built it [1]."))
    ask(page, "Who built the Vardholm lighthouse?")
    expect_answer(page, "Ottilie Brandt")
    says(model, completion("When was Vardholm lighthouse built?"), stream("In 1874 [1]."))
    model.requests.clear()
    ask(page, "And when?")
    expect_answer(page, "In 1874")
    rewrite = str(model.asked(CHAT)[0]["messages"])
    assert "Who built the Vardholm lighthouse?" in rewrite
    assert "And when?" in rewrite


def test_stop_ends_the_language_models_work(page: Page, model: ScriptedServer) -> None:
    says(model, hesitates("The tower is 41 metres high [1]. ", then="Never said."))
    left = model.abandoned
    ask(page, QUESTION)
    expect_answer(page, "41 metres")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    for _ in range(100):
        if model.abandoned > left:
            break
        page.wait_for_timeout(50)  # the model's side tells nobody
    assert model.abandoned > left
    expect(page.locator("#response-content-container").last).not_to_contain_text("Never said")


def test_an_answer_without_the_language_model_says_so(page: Page, model: ScriptedServer) -> None:
    says(model, *[error(503, "asleep")] * 8)
    model.replies[BATCH] = deque([error(503, "asleep")])
    ask(page, "Who built the Vardholm lighthouse?")
    expect_answer(page, "by the engineer Ottilie Brandt")
    expect(page.locator("#response-content-container blockquote")).to_contain_text("asleep")


def test_what_is_refused_is_told_in_the_chat(page: Page) -> None:
    ask(page, "Why? " * 2_000)
    expect_answer(page, "8,000 are allowed")
