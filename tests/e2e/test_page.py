"""The page as a person meets it: a real browser, a real service, the embedded default."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import Visit, chromium
from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.running_service import RunningService, running_service

QUESTION = "Who built the Vardholm lighthouse?"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("page")
    root = write_corpus(folder / "vardholm")
    with running_service(folder / "data", root, _free_port()) as running:
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
    # Whatever a test did: nothing was fetched from elsewhere, nothing broke.
    assert visit.hosts == {"127.0.0.1"}
    assert visit.complaints == []


def test_a_person_asks_and_sees_the_graph_work_and_the_answer_with_its_sources(
    visit: Visit,
) -> None:
    turn = visit.answered(QUESTION)
    expect(turn.locator(".answer")).to_contain_text("the engineer Ottilie Brandt")
    expect(turn.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile(r"retrieve: [\d.]+ m?s, grade_relevance: .+, generate: .+")
    )
    expect(turn.locator(".label")).to_have_text("Extracts")
    expect(turn.locator(".notice")).to_contain_text("not written by a model")
    expect(turn.get_by_role("heading", name=re.compile("passages, 1 relevant"))).to_be_visible()
    cited = turn.locator(".card.cited")
    expect(cited).to_contain_text("vardholm/lighthouse.md")
    expect(turn.locator(".card.dropped").first).to_contain_text("left out")


def test_a_citation_opens_its_passage_with_the_quoted_sentence_marked(visit: Visit) -> None:
    turn = visit.answered(QUESTION)
    turn.get_by_role("button", name="Source 1", exact=True).first.click()
    drawer = visit.page.get_by_role("dialog")
    expect(drawer.get_by_role("heading")).to_have_text(
        re.compile(r"vardholm/lighthouse.md, lines \d+–\d+")
    )
    expect(drawer.locator(".path")).to_have_text("Vardholm lighthouse")
    expect(drawer.locator("mark")).to_contain_text("the engineer Ottilie Brandt.")
    visit.page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    focused = visit.page.locator(":focus")
    expect(focused).to_have_attribute("aria-label", "Source 1")


def test_an_unanswered_question_is_told_so_after_every_search(visit: Visit) -> None:
    turn = visit.answered("Which antibiotic treats bacterial meningitis in children?")
    expect(turn.locator(".label")).to_have_text("Nothing found")
    expect(turn.locator(".answer")).to_contain_text("do not answer this question")
    expect(turn.get_by_role("img")).to_have_attribute("aria-label", re.compile("rewrite_query"))
