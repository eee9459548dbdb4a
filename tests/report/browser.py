"""Reports in headless Chromium: the one that $CHROMIUM names, or one on the PATH."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Chromium, without what it would ask of a network.
QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
]


def find_chromium() -> str | None:
    """The path of a Chromium on this machine, or None."""
    paths = map(shutil.which, (os.environ.get("CHROMIUM") or NAMES[0], *NAMES))
    return next((path for path in paths if path), None)


@contextlib.contextmanager
def browser(path: str) -> Iterator[Browser]:
    """Headless, with a profile of its own that is gone afterwards."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield chromium
        chromium.close()


def open_report(
    chromium: Browser, path: Path, width: int = 1280, colors: Any = "light"
) -> Page:
    """The page of a report in a window of that width, once all charts are drawn."""
    size: Any = {"width": width, "height": 900}
    page = chromium.new_page(viewport=size, color_scheme=colors)
    page.goto(path.resolve().as_uri())
    wait_for_charts(page)
    return page


def wait_for_charts(page: Page) -> None:
    """Wait until no chart is stale, a minute at most; `page.js` keeps the list."""
    for _ in range(1200):
        if not page.evaluate("stale.size"):  # CSP forbids page.wait_for_function
            return
        page.wait_for_timeout(50)
    raise TimeoutError("Charts were not drawn in a minute.")
