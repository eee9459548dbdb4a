r"""Take a picture of the top of a report, in headless Chromium.

    python scripts/screenshot_report.py runs/demo/report_steps.html \
        --out=docs/images/report.png

Needs playwright's Python package and a Chromium: the one that $CHROMIUM names, or
chromium, chromium-browser or google-chrome on the PATH.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags
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


_OUT = flags.DEFINE_string("out", "report.png", "The picture to write.")
_SIZE: Any = {"width": 1280, "height": 1400}  # from the top, in pixels


def main(argv: Sequence[str]) -> None:
    path = find_chromium()
    if path is None or len(argv) != 2:
        problem = "name one report" if path else f"no {', '.join(NAMES)} on the PATH"
        raise app.UsageError(f"{problem}.")
    with browser(path) as chromium:
        page = open_report(chromium, Path(argv[1]), _SIZE["width"])
        clip: Any = {"x": 0, "y": 0, **_SIZE}
        page.screenshot(path=_OUT.value, full_page=True, clip=clip)


if __name__ == "__main__":
    app.run(main)
