"""The page of a service that knows nothing yet: adding documents, removing them, showing a key."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from api.keys import KeyRing
from tests.browser import ANSWERED_WITHIN_MS, Visit, chromium
from tests.corpus import LIGHTHOUSE
from tests.integration.conftest import _free_port
from tests.running_service import RunningService, running_service

# In the order in which a person would do it: each test goes on from the one before.


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("first-visit")
    root = folder / "notes"
    root.mkdir()
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
    assert visit.hosts == {"127.0.0.1"}
    assert visit.complaints == []


def test_an_empty_index_says_how_to_begin(visit: Visit) -> None:
    start = visit.page.locator("#welcome")
    expect(start.get_by_role("heading")).to_have_text("Nothing is indexed yet")
    expect(start).to_contain_text("drop files here")
    expect(start).to_contain_text("tandem index FOLDER")
    turn = visit.answered("Who built the lighthouse?")
    expect(turn.locator(".notice")).to_contain_text("Nothing is indexed yet")


def test_files_are_added_asked_about_and_deleted(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    good, bad = tmp_path / "tower.md", tmp_path / "empty.md"
    good.write_text(LIGHTHOUSE)
    bad.write_text("")
    page.get_by_role("button", name="0 documents").click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_label("Add documents").set_input_files([good, bad])
    uploads = drawer.locator(".uploads")
    expect(uploads.get_by_role("listitem").first).to_have_text(
        re.compile("tower.md.*indexed"), timeout=ANSWERED_WITHIN_MS
    )
    expect(uploads.get_by_role("listitem").last).to_contain_text("'empty.md' is empty")
    visit.expected("400")
    listed = drawer.locator(".documents").get_by_role("listitem")
    expect(listed).to_contain_text("uploads/default/tower.md")
    page.keyboard.press("Escape")
    turn = visit.answered("Who built the Vardholm lighthouse?")
    expect(turn.locator(".answer")).to_contain_text("Ottilie Brandt")

    page.get_by_role("button", name="1 document").click()
    page.on("dialog", lambda dialog: dialog.accept())
    drawer.get_by_role("button", name="Delete uploads/default/tower.md").click()
    expect(listed).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="0 documents")).to_be_visible()


def test_a_file_that_is_dropped_on_the_page_is_added(visit: Visit) -> None:
    page = visit.page
    expect(page.get_by_role("button", name="0 documents")).to_be_visible()
    dropped = page.evaluate_handle(
        """() => {
          const transfer = new DataTransfer();
          const text = "# Bell\\n\\nThe fog bell of Vardholm weighs 640 kilograms.";
          transfer.items.add(new File([text], "bell.md"));
          return transfer;
        }"""
    )
    page.dispatch_event("main", "drop", {"dataTransfer": dropped})
    drawer = page.get_by_role("dialog")
    expect(drawer.locator(".documents")).to_contain_text(
        "uploads/default/bell.md", timeout=ANSWERED_WITHIN_MS
    )


def test_a_key_is_asked_for_and_kept_for_the_tab_alone(
    visit: Visit, service: RunningService
) -> None:
    page = visit.page
    key = KeyRing(service.data_dir).create("person", ["ask"])
    visit.forgiven = "401 (Unauthorized)"
    page.reload()
    asked = page.get_by_role("dialog")
    expect(asked.get_by_role("heading")).to_have_text("This service asks for a key")
    asked.get_by_label("Key").fill("tandem_wrong")
    page.keyboard.press("Enter")
    expect(asked.get_by_role("alert")).to_contain_text("key")
    asked.get_by_label("Key").fill(key)
    page.keyboard.press("Enter")
    expect(asked).to_have_count(0)
    turn = visit.answered("How heavy is the fog bell?")
    expect(turn.locator(".answer")).to_contain_text("640 kilograms")
    expect(page.locator("#open-sources")).to_be_hidden()  # the key may ask, and not read
    page.reload()
    expect(page.get_by_role("article")).to_have_count(1)
    assert key in page.evaluate("JSON.stringify(sessionStorage)")
    assert key not in page.evaluate("JSON.stringify(localStorage) + location.href")
