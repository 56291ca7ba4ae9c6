"""The playground as a person meets it: a real browser before a real service."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.corpus import write_corpus
from tests.running_service import RunningService, running_service

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
QUESTION = "Who built the Vardholm lighthouse?"
ANSWERED_WITHIN_MS = 30_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    from tests.integration.conftest import _free_port

    folder = tmp_path_factory.mktemp("playground")
    root = write_corpus(folder / "vardholm")
    with running_service(folder / "data", root, _free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have a browser at {CHROMIUM}.")
        pytest.skip(f"There is no browser at {CHROMIUM}.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Visit:
    """A page that somebody has opened, and what happened behind it."""

    page: Page
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.hosts.add(_host(request.url)))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._listen)

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def ask(self, question: str) -> None:
        """Type a question and start."""
        self.page.get_by_role("textbox").fill(question)
        self.page.get_by_role("button", name="Start").click()

    def reads(self, text: str) -> None:
        """What is to be seen on the page, at the latest when the answer is complete."""
        expect(self.page.locator("body")).to_contain_text(text, timeout=ANSWERED_WITHIN_MS)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


@pytest.fixture
def visit(browser: Browser, service: RunningService) -> Iterator[Visit]:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    visit = Visit(page)
    page.goto(service.url)
    yield visit
    page.close()


def test_a_person_asks_and_reads_an_answer_with_its_source(
    visit: Visit, service: RunningService
) -> None:
    assert visit.page.url == f"{service.url}/rag/playground/"
    visit.ask(QUESTION)
    visit.reads("built in 1874 by the engineer Ottilie Brandt. [1]")
    visit.reads("[1] vardholm/lighthouse.md, line 5: Vardholm lighthouse")
    visit.reads("not written by a model.")
    # The answer is text, not JSON.
    assert '"answer"' not in visit.page.locator("body").inner_text()
    if folder := os.environ.get("TANDEM_SCREENSHOTS"):
        visit.page.screenshot(path=Path(folder) / "playground.png", full_page=True)


def test_nothing_is_fetched_from_elsewhere_and_nothing_breaks(visit: Visit) -> None:
    visit.ask(QUESTION)
    visit.reads("not written by a model.")
    assert visit.hosts == {"127.0.0.1"}
    assert visit.complaints == []


def test_the_empty_form_complains_about_nothing_and_nothing_asked_is_explained(
    visit: Visit,
) -> None:
    expect(visit.page.get_by_role("button", name="Start")).to_be_enabled()
    expect(visit.page.get_by_text("Validation Errors")).to_have_count(0)
    visit.ask("   ")
    visit.reads("The question is empty. Ask in a sentence")


def test_a_question_without_an_answer_is_told_so_and_the_next_is_answered(visit: Visit) -> None:
    visit.ask("Which antibiotic treats bacterial meningitis in children?")
    visit.reads("The indexed documents do not answer this question.")
    visit.ask(QUESTION)
    visit.reads("Ottilie Brandt")
