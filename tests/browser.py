"""A real browser before a real service, and a watch on what its pages do."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
ANSWERED_WITHIN_MS = 30_000
SEEN_WITHIN_MS = 20_000
expect.set_options(timeout=SEEN_WITHIN_MS)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium; without one the test is skipped, but not in CI."""
    if not CHROMIUM.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have a browser at {CHROMIUM}.")
        pytest.skip(f"There is no browser at {CHROMIUM}.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page that somebody has opened, and what happened behind it."""

    page: Page
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    forgiven: str | None = None
    """What a complaint may hold that a test provokes, as often as it comes."""

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.hosts.add(_host(request.url)))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._listen)

    def _listen(self, message: ConsoleMessage) -> None:
        forgiven = self.forgiven is not None and self.forgiven in message.text
        if message.type in {"error", "warning"} and not forgiven:
            self.complaints.append(message.text)

    def ask(self, question: str) -> Locator:
        """Type a question, press Enter; the turn that it begins."""
        self.page.get_by_role("textbox", name="Question").fill(question)
        self.page.keyboard.press("Enter")
        turn = self.page.get_by_role("article").last
        expect(turn.get_by_role("heading", name=question)).to_be_visible()
        return turn

    def answered(self, question: str) -> Locator:
        """The turn of a question that has been answered."""
        turn = self.ask(question)
        expect(turn.locator(".answer")).to_have_attribute(
            "aria-busy", "false", timeout=ANSWERED_WITHIN_MS
        )
        return turn

    def expected(self, complaint: str) -> None:
        """The browser complains of a status that a test provokes: once, and of nothing else."""
        [found] = self.complaints
        assert complaint in found
        self.complaints.clear()

    def picture(self, name: str) -> None:
        """A screenshot, where somebody wants to look at it."""
        if folder := os.environ.get("TANDEM_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"{name}.png")


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
