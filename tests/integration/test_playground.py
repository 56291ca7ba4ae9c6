"""The playground as a person meets it: a real browser before a real service."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser import ANSWERED_WITHIN_MS, Visit, chromium
from tests.corpus import write_corpus
from tests.running_service import RunningService, running_service

QUESTION = "Who built the Vardholm lighthouse?"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    from tests.integration.conftest import _free_port

    folder = tmp_path_factory.mktemp("playground")
    root = write_corpus(folder / "vardholm")
    with running_service(folder / "data", root, _free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


class Playground(Visit):
    """A visit to LangServe's page."""

    def start(self, question: str) -> None:
        """Type a question and start."""
        self.page.get_by_role("textbox").fill(question)
        self.page.get_by_role("button", name="Start").click()

    def reads(self, text: str) -> None:
        """What is to be seen on the page, at the latest when the answer is complete."""
        expect(self.page.locator("body")).to_contain_text(text, timeout=ANSWERED_WITHIN_MS)


@pytest.fixture
def visit(browser: Browser, service: RunningService) -> Iterator[Playground]:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    visit = Playground(page)
    page.goto(f"{service.url}/rag/playground/")
    yield visit
    page.close()


def test_a_person_asks_and_reads_an_answer_with_its_source(
    visit: Playground,
) -> None:
    visit.start(QUESTION)
    visit.reads("built in 1874 by the engineer Ottilie Brandt. [1]")
    visit.reads("[1] vardholm/lighthouse.md, line 5: Vardholm lighthouse")
    visit.reads("not written by a model.")
    # The answer is text, not JSON.
    assert '"answer"' not in visit.page.locator("body").inner_text()
    visit.picture("playground")


def test_nothing_is_fetched_from_elsewhere_and_nothing_breaks(visit: Playground) -> None:
    visit.start(QUESTION)
    visit.reads("not written by a model.")
    assert visit.hosts == {"127.0.0.1"}
    assert visit.complaints == []


def test_the_empty_form_complains_about_nothing_and_nothing_asked_is_explained(
    visit: Playground,
) -> None:
    expect(visit.page.get_by_role("button", name="Start")).to_be_enabled()
    expect(visit.page.get_by_text("Validation Errors")).to_have_count(0)
    visit.start("   ")
    visit.reads("The question is empty. Ask in a sentence")


def test_a_question_without_an_answer_is_told_so_and_the_next_is_answered(
    visit: Playground,
) -> None:
    visit.start("Which antibiotic treats bacterial meningitis in children?")
    visit.reads("The indexed documents do not answer this question.")
    visit.start(QUESTION)
    visit.reads("Ottilie Brandt")


def test_a_conversation_in_the_chat_playground_is_answered_and_continued(
    visit: Playground, service: RunningService
) -> None:
    # Before it knows the schema, the page asks in another shape.
    visit.page.goto(f"{service.url}/chat/playground/", wait_until="networkidle")
    box = visit.page.get_by_placeholder("Send a message...")
    for question, answer in (
        (QUESTION, "built in 1874 by the engineer Ottilie Brandt. [1]"),
        ("How high is its tower?", "The tower is 41 metres high"),
        (
            "Which antibiotic treats meningitis?",
            "The indexed documents do not answer this question.",
        ),
    ):
        box.fill(question)
        _send(box)
        visit.reads(answer)
    assert visit.hosts == {"127.0.0.1"}
    assert visit.complaints == []
    visit.picture("chat")


def _send(box: Locator) -> None:
    """Press Enter until the page takes the message.

    While the answer before is still arriving the page does nothing when asked,
    and shows nothing of it. Taking a message empties the box.
    """
    give_up = time.monotonic() + ANSWERED_WITHIN_MS / 1000
    while time.monotonic() < give_up:
        box.press("Enter")
        if not box.input_value().strip():
            return
        time.sleep(0.1)
    raise AssertionError(f"the page never took {box.input_value()!r}")
